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
    life_length: int = 100_000  # entries of records of the steps of messages; 0: none are written
    life_seconds: float = 86_400.0  # their age
    life_bytes: int = 64 * 1024 * 1024  # of Redis's memory

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """From a mapping that also holds kombu's options. Raises ValueError for a value that cannot be meant."""
        known = {one.name for one in fields(cls)}
        found = {name: value for name, value in given.items() if name in known}
        for name, value in found.items():
            number = (int, float) if name in ("lease_seconds", "life_seconds") else int
            least = 0 if name == "life_length" else 1e-9
            if not isinstance(value, number) or isinstance(value, bool) or value < least:
                above = "of 0 or more" if least == 0 else "above 0"
                raise ValueError(f"broker_transport_options: {name} must be a number {above}, and it is {value!r}")
        return cls(**found)
