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
        """From a mapping that also holds kombu's options. Raises ValueError for a value that cannot be meant."""
        known = {one.name for one in fields(cls)}
        found = {name: value for name, value in given.items() if name in known}
        for name, value in found.items():
            number = (int, float) if name == "lease_seconds" else int
            if not isinstance(value, number) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"broker_transport_options: {name} must be a number above 0, and it is {value!r}")
        return cls(**found)
