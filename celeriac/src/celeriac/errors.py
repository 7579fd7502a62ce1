"""What can go wrong, and whether trying again can help.

    Exception
    ├── SettingsError         the environment is wrong: one line, exit 1
    └── TaskError             a task failed
        ├── ValidationError   what was given or returned is not what the contract says: fails at once
        │   └── WrongPayload      it was the message: the body never ran
        ├── PermanentError    trying again cannot help: fails at once
        │   └── Conflict          what was to be published has the id of other work
        └── TransientError    trying again may help: retried as the contract's policy says
            ├── CircuitOpen       a breaker let no call through: the message comes back and has used up no retry
            └── PublishError      a message is not published, or not certainly (an OperationalError)
                ├── QueueFull         its queue is at its bound
                ├── NotPublished      the broker is away, or refuses
                └── OutcomeUnknown    the broker did not answer: to publish the same again tells, and does no harm

Task errors take one string, because Celery's JSON result backend stores the arguments of an error and rebuilds it from
them: other data would not reach the caller. Everything else is given by keyword. It is no argument of the error, so it
stays in the process that raised it.
"""

from kombu.exceptions import OperationalError

from celeriac.published import Published


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
    """Trying again may help; not before `retry_after_seconds`, if that is given."""

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CircuitOpen(TransientError):
    """Not called: the breaker of this dependency is open, for `retry_after_seconds` more."""


class PublishError(TransientError, OperationalError):
    """A message is not published, or not certainly; `published` says what became of each task."""

    def __init__(
        self, message: str = "", published: Published | None = None, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.published = published


class QueueFull(PublishError):
    """The queue takes no more; there should be room after `retry_after_seconds`."""


class NotPublished(PublishError):
    """The broker is away, or refuses. Nothing of this call is in a queue, except what `published` says is accepted."""


class OutcomeUnknown(PublishError):
    """The broker did not answer: the message may be published or not. To publish it again is harmless, and tells."""


class Conflict(PermanentError):
    """This id was published before, for other work: an id is for one piece of work. `published` as in PublishError."""

    def __init__(self, message: str = "", published: Published | None = None) -> None:
        super().__init__(message)
        self.published = published
