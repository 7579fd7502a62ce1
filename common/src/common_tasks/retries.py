"""When a failed task is tried again, and how long it waits."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import redis.exceptions
from kombu.exceptions import OperationalError

from common_tasks.errors import TransientError

# What a second try may heal. OSError is not in here: "no such file" will not get better. ConnectionError and
# TimeoutError are its kinds for a peer that is away; Redis and kombu have their own, outside that family.
TRANSIENT: tuple[type[Exception], ...] = (
    TransientError,
    ConnectionError,
    TimeoutError,
    OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)

# Redis takes no writes now, but will again: it is full, a replica or without a primary; and by its first word where
# redis-py has no class for it: it cannot write to its disk, or has too few replicas.
REFUSALS = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.BusyLoadingError,
)
REFUSING_WORDS = ("MISCONF", "NOREPLICAS")


def refused_for_now(error: BaseException) -> bool:
    if isinstance(error, REFUSALS):
        return True
    text = str(error).rpartition("caused error: ")[2]  # a pipeline puts its command in front
    return isinstance(error, redis.exceptions.ResponseError) and text.startswith(REFUSING_WORDS)


@dataclass(frozen=True)
class RetryPolicy:
    """`limit` retries after the first run; the waits grow from `base_seconds` to at most `cap_seconds`."""

    limit: int
    cap_seconds: float
    base_seconds: float = 1.0

    def delay_seconds(self, retries: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Full jitter: anything between nothing and the exponential bound, lest a crowd come back at once."""
        return uniform(0.0, min(self.cap_seconds, self.base_seconds * 2.0**retries))

    def allows(self, error: Exception, retries: int) -> bool:
        return isinstance(error, TRANSIENT) and retries < self.limit


NO_RETRIES = RetryPolicy(limit=0, cap_seconds=0.0)
