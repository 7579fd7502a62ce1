"""What a failure of Redis means: whether the command can have been executed, and how to say it without secrets."""

import re
from collections.abc import Iterator

import redis.exceptions
from kombu.exceptions import OperationalError

from celeriac.errors import QueueFull
from celeriac.publish.attempts import unauthenticated

SILENT = "does not answer"
UNREACHABLE = "cannot be reached"
IN_A_SCRIPT = re.compile(r": -([A-Z]{3,}) ")  # Redis 6.2 puts what a script was told into a sentence of its own
# All that can be raised because Redis, or the way to it, is not what it should be.
FAILURES = (redis.exceptions.RedisError, OperationalError, OSError)


class BrokerUnavailable(OperationalError):
    """The broker was not asked, or did not answer: `reason` ends a sentence that begins with "The broker"."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the broker {reason}")
        self.reason = reason


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from; kombu wraps what redis-py raises, and redis-py what the socket raised."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def reason(error: BaseException) -> str:
    """For a sentence that begins with "The broker"."""
    for one in chain(error):
        if isinstance(one, BrokerUnavailable):
            return one.reason
        if isinstance(one, redis.exceptions.TimeoutError | TimeoutError):
            return SILENT
        if isinstance(one, redis.exceptions.RedisError) and unauthenticated(one):
            return "refuses our credentials"
        if isinstance(one, redis.exceptions.ResponseError | redis.exceptions.BusyLoadingError):
            return f"refuses commands ({_refusal(one)})"
    return UNREACHABLE


def answered(error: BaseException) -> bool:
    """Redis is there, and said no: asking again costs nothing."""
    refusals = redis.exceptions.ResponseError, redis.exceptions.BusyLoadingError, redis.exceptions.AuthenticationError
    return any(isinstance(one, refusals) for one in chain(error))


def away(error: BaseException) -> bool:
    """Whether Redis, or the way to it, is not there; it did not merely refuse."""
    return isinstance(error, FAILURES) and not isinstance(error, QueueFull) and not answered(error)


def not_executed(error: BaseException) -> bool:
    """Certain that the command had no effect: Redis refused it, or nobody was there to take it."""
    return answered(error) or any(isinstance(one, ConnectionRefusedError) for one in chain(error))


def _refusal(error: BaseException) -> str:
    """Redis's own word for it: OOM, READONLY, MISCONF, …"""
    if within := IN_A_SCRIPT.search(str(error)):
        return within[1]
    word = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    return word if word.isalpha() and word.isupper() else "ERR"
