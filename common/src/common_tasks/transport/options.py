"""What the transport can be told, through Celery's `broker_transport_options`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Options:
    lease_seconds: float = 60.0  # after which a dead worker's messages go to others; renewed while it lives
    queue_bound: int = 100_000  # messages of a queue, beyond which a publish is refused
    dead_letter_bound: int = 10_000  # dead letters of a queue, at which it is no longer claimed from
    max_starts: int = 5  # of a message whose workers died; then it is a dead letter

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Those that are given; the others are kombu's."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})
