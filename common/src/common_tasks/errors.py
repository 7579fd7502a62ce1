"""What can go wrong, and whether trying again can help.

    Exception
    ├── SettingsError         the environment is wrong: one line, exit 1
    └── TaskError             a task failed
        ├── ValidationError   what was given or returned is not what the contract says: fails at once
        │   └── WrongPayload      it was the message: the body never ran
        ├── PermanentError    trying again cannot help: fails at once
        │   └── Conflict          what was to be published has the id of other work
        └── TransientError    trying again may help: retried as the contract's policy says
            ├── CircuitOpen       a breaker let no call through: comes back, and that uses up no retry
            └── PublishError      the broker has not, or not certainly, what was to be published (an OperationalError)
                ├── QueueFull         its queue is at its bound
                ├── NotPublished      the broker is away, or refuses
                └── OutcomeUnknown    the broker fell silent: publishing the same again tells, and does no harm

Task errors take one string. Celery's JSON result backend stores the arguments and rebuilds the error from them, so
whatever is not plain data in there would reach the caller as an unreadable wrapper. What else an error knows is given
by keyword, which Python does not count among the arguments: it stays in the process that raised it.
"""

from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from common_tasks.transport.outgoing import Published


class SettingsError(Exception):
    """The environment cannot be used; the text names the variable and hides its value."""


class TaskError(Exception):
    """A task failed, and its text survives the way to the caller."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class ValidationError(TaskError):
    """What was given is not what the contract says."""


class WrongPayload(ValidationError):
    """A message carries what its contract does not allow."""


class PermanentError(TaskError):
    """Trying again cannot help."""


class TransientError(TaskError):
    """Trying again may help; not before `retry_after_seconds`, where somebody said so."""

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CircuitOpen(TransientError):
    """Not called: the breaker of this dependency is open, for `retry_after_seconds` more."""


class PublishError(TransientError, OperationalError):
    """Not everything is certainly in its queue; `published` tells what became of which task."""

    def __init__(
        self, message: str = "", published: "Published | None" = None, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.published = published


class QueueFull(PublishError):
    """The queue takes no more; there should be room after `retry_after_seconds`."""


class NotPublished(PublishError):
    """The broker is away, or refuses: nothing of this call is in a queue, but for what `published` says."""


class OutcomeUnknown(PublishError):
    """The broker fell silent in the very moment of the hand-over. The same again is harmless, and tells."""


class Conflict(PermanentError):
    """Published before, as other work: one id is for one piece of work. `published` as with PublishError."""

    def __init__(self, message: str = "", published: "Published | None" = None) -> None:
        super().__init__(message)
        self.published = published
