"""The options of the transport, from Celery's `broker_transport_options`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Options:
    lease_seconds: float = 60.0  # a worker renews its leases; when it dies, others get its messages after this time
    queue_bound: int = 100_000  # messages in a queue; with more, a publish is refused
    dead_letter_bound: int = 10_000  # dead letters of a queue; with so many, workers claim no more from the queue
    max_starts: int = 5  # of a message whose workers die; then it is a dead letter

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """From a mapping that also holds kombu's options."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})
