"""What is written down of each step that a message takes."""

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """The steps. Each is written by the script that takes the step, in the same moment."""

    PUBLISHED = "published"  # it is in its queue, or due later
    CLAIMED = "claimed"  # a worker has it
    STARTED = "started"  # its body has run for 0.2 s, or this start counts
    PROGRESS = "progress"  # its body says how far it is
    RETRIED = "retried"  # it failed, and is due again
    COMMITTED = "committed"  # it has ended well, or as Celery's `state` says
    FAILED = "failed"  # it failed, and left no dead letter
    DEAD = "dead"  # it failed for good: a dead letter
    RETURNED = "returned"  # it is back in its queue
    REFUSED = "refused"  # an outcome came too late: another worker has the message
    REPEATED = "repeated"  # an outcome came of work that was done before
    REPLAYED = "replayed"  # its dead letter is in its queue again, as a new message
    DROPPED = "dropped"  # its dead letter or its waiting message was removed


class Record(
    msgspec.Struct, frozen=True
):  # made in a tenth of the time of a dataclass: readers make thousands a second
    """One step of one message. Times are unix seconds by Redis's clock. Fields that a step does not know are empty."""

    at: float
    kind: Kind
    task_id: str = ""
    tag: str = ""
    """The delivery tag: a new one for each message, so for each attempt."""
    task: str = ""
    queue: str = ""
    who: str = ""
    """The worker's node name; of a publish, the service."""
    root_id: str = ""
    parent_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    attempt: int = 0
    """Celery's `retries`: 0 is the first."""
    priority: int = 0
    due_at: float | None = None
    """Of a countdown, an ETA, a retry."""
    since: float | None = None
    """When the body began; of a publish over HTTP, when the request did."""
    seconds: float | None = None
    """How long the body ran."""
    state: str = ""
    """Celery's state of an end: SUCCESS, FAILURE, REVOKED, IGNORED, REJECTED."""
    error: str = ""
    """`TypeName: first line`."""
    reason: str = ""
    """Why it is dead, returned, refused or dropped."""
    via: str = ""
    """Of a publish over HTTP: `POST /api/orders`."""
    progress: float | None = None
    """0 to 1."""
    note: str = ""
    """What the body says of its progress."""
    group_id: str = ""
    chord: str = ""
    """The id of the chord's body."""

    def but(self, **changes: Any) -> "Record":
        """The same record with other values."""
        return msgspec.structs.replace(self, **changes)
