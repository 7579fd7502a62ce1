"""What an error means for the next try: one table, by exception type, that a service extends.

    CLASSIFICATION[stripe.CardError] = Kind.PERMANENT

A key is a class, or the full name of a class that is not imported here. A value is a kind, or a function that gets the
error and returns a kind. If it returns None, the next base class of the error is looked up. The most specific class
wins.
"""

import errno
import math
import re
import socket
import time
import urllib.error
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import redis.exceptions
from kombu.exceptions import EncodeError, OperationalError

from celeriac.errors import PermanentError, TransientError, ValidationError


class Kind(StrEnum):
    """What an error says about the next try."""

    PERMANENT = "permanent"  # the next try would end the same way
    TRANSIENT = "transient"  # the next try may go well
    UNKNOWN = "unknown"  # not in the table: one more try


Rule = Kind | Callable[[Any], Kind | None]

# Errors that a second try may heal. OSError is not in here: "no such file" stays. Its subclasses ConnectionError and
# TimeoutError are about a peer that is away. Redis and kombu have classes of their own for that.
TRANSIENT: tuple[type[Exception], ...] = (
    TransientError,
    ConnectionError,
    TimeoutError,
    OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)

# Redis takes no writes for a while: it is full, a replica, loading, or without a master. For other reasons redis-py
# has no class (it cannot write to its disk, it has too few replicas): those are known by the first word of the error.
REFUSALS = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.BusyLoadingError,
)
REFUSING_WORDS = {"MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "TRYAGAIN", "UNBLOCKED"}  # not BUSYGROUP
# Redis 6.2 puts the error of a command in a script into the middle of a sentence, and redis-py does not find its class.
IN_A_SCRIPT = re.compile(rf": -(?:OOM|READONLY|CLUSTERDOWN|{'|'.join(sorted(REFUSING_WORDS))}) ")

# Plain OSErrors that speak of the way to a peer, not of a file.
UNREACHABLE = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}

PASSING_STATUS = {408, 425, 429}  # too slow, too early, too many: client errors that may go well later


def refused_for_now(error: BaseException) -> bool:
    if isinstance(error, REFUSALS):
        return True
    if not isinstance(error, redis.exceptions.ResponseError):
        return False
    text = str(error).rpartition("caused error: ")[2]  # a pipeline puts its command in front
    return text.partition(" ")[0] in REFUSING_WORDS or IN_A_SCRIPT.search(text) is not None


def of_the_broker(error: BaseException) -> bool:
    """Whether the broker or the network caused this error, and not the message: the same message may go well later. Not
    for errors of reading a message: to decompress a bad body may raise an OSError, too."""
    return isinstance(error, (*TRANSIENT, OSError)) or refused_for_now(error)


def by_status(error: Exception) -> Kind | None:
    """The kind that follows from an HTTP status, if the error carries an answer, as in httpx, requests, urllib,
    aiohttp."""
    answer = _answer(error)
    status = getattr(answer, "status_code", getattr(answer, "status", None))
    if not isinstance(status, int) or not hasattr(answer, "headers"):
        return None
    if status in PASSING_STATUS or status >= 500:
        return Kind.TRANSIENT
    return Kind.PERMANENT if status >= 400 else None


CLASSIFICATION: dict[type[BaseException] | str, Rule] = {
    **dict.fromkeys(TRANSIENT, Kind.TRANSIENT),
    ValidationError: Kind.PERMANENT,
    "pydantic_core._pydantic_core.ValidationError": Kind.PERMANENT,  # its full name: a plain app may have no pydantic
    PermanentError: Kind.PERMANENT,
    TypeError: Kind.PERMANENT,
    EncodeError: Kind.PERMANENT,
    # The body needs more memory than there is, or wants to end the process: the next run would do the same.
    MemoryError: Kind.PERMANENT,
    SystemExit: Kind.PERMANENT,
    redis.exceptions.ResponseError: lambda error: Kind.TRANSIENT if refused_for_now(error) else None,
    redis.exceptions.WatchError: Kind.TRANSIENT,  # somebody else was faster
    socket.gaierror: Kind.TRANSIENT,  # the name of a container that is being replaced is gone for a moment
    urllib.error.URLError: lambda error: classify(error.reason) if isinstance(error.reason, OSError) else None,
    OSError: lambda error: Kind.TRANSIENT if error.errno in UNREACHABLE else None,
    "httpx.TransportError": Kind.TRANSIENT,
    "httpx.UnsupportedProtocol": Kind.PERMANENT,
    "requests.exceptions.ConnectionError": Kind.TRANSIENT,
    "requests.exceptions.Timeout": Kind.TRANSIENT,
    "requests.exceptions.ChunkedEncodingError": Kind.TRANSIENT,  # cut off in the middle of an answer
    Exception: by_status,
}


def classify(error: BaseException) -> Kind:
    for one in type(error).__mro__:
        rule = CLASSIFICATION.get(one) or CLASSIFICATION.get(f"{one.__module__}.{one.__qualname__}")
        kind = rule if isinstance(rule, Kind) else _asked(rule, error)
        if kind is not None:
            return kind
    return Kind.UNKNOWN


def _asked(rule: Callable[[Any], Kind | None] | None, error: BaseException) -> Kind | None:
    try:
        return rule(error) if rule else None
    except Exception:
        return None  # if a rule fails, the task's own error must still be seen


def retry_after_seconds(error: BaseException, now: Callable[[], float] = time.time) -> float | None:
    """How long to wait before the next call: from our own error, or from the Retry-After of an HTTP answer that the
    error, or its cause, carries."""
    for one in (error, error.__cause__):
        said = getattr(one, "retry_after_seconds", None)
        if said is None:
            said = _header(one, now)
        if isinstance(said, int | float) and math.isfinite(said):
            return max(0.0, float(said))
    return None


def _answer(error: Any) -> Any:
    # "or" would not do: to requests, an answer with a status of 400 or more is false.
    response = getattr(error, "response", None)
    return error if response is None else response


def _header(error: Any, now: Callable[[], float]) -> float | None:
    """Retry-After: seconds, or a date."""
    try:
        text = str(_answer(error).headers["Retry-After"]).strip()
        if re.fullmatch(r"\d{1,9}(\.\d*)?", text, re.ASCII):
            return float(text)
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now()
    except Exception:
        return None  # no answer, no such header, or nothing that one could read
