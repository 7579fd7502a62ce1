"""What can go wrong, and whether trying again can help.

    Exception
    ├── SettingsError         the environment is wrong: one line, exit 1
    └── TaskError             a task failed
        ├── ValidationError   the payload (or the result) is not what the contract says: fails at once
        ├── PermanentError    trying again cannot help: fails at once
        └── TransientError    trying again may help: retried as the contract's policy says

Task errors take one string. Celery's JSON result backend stores the arguments and rebuilds the error from them, so
whatever is not plain data in there would reach the caller as an unreadable wrapper.
"""


class SettingsError(Exception):
    """The environment cannot be used; the text names the variable and hides its value."""


class TaskError(Exception):
    """A task failed, and its text survives the way to the caller."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class ValidationError(TaskError):
    """What was given is not what the contract says."""


class PermanentError(TaskError):
    """Trying again cannot help."""


class TransientError(TaskError):
    """Trying again may help."""
