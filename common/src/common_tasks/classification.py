"""What an error means for the next try: one table, by exception type, that a service extends.

    CLASSIFICATION[stripe.CardError] = Kind.PERMANENT

A key is a class, or the full name of one that is not imported here. A value is a kind, or a function of the error that
gives one, or None: then the next class of the error's family is asked. The most specific class wins.
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

import pydantic
import redis.exceptions
from kombu.exceptions import EncodeError, OperationalError

from common_tasks.errors import PermanentError, TransientError, ValidationError


class Kind(StrEnum):
    PERMANENT = "permanent"  # the next try would end the same way
    TRANSIENT = "transient"  # the next try may go well
    UNKNOWN = "unknown"  # nobody has said: one more try


Rule = Kind | Callable[[Any], Kind | None]

# What a second try may heal, whoever asks. OSError is not in here: "no such file" will not get better. ConnectionError
# and TimeoutError are its kinds for a peer that is away; Redis and kombu have their own, outside that family.
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
    redis.exceptions.TryAgainError,
    redis.exceptions.BusyLoadingError,
)
REFUSING_WORDS = {"MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "TRYAGAIN", "UNBLOCKED"}  # not BUSYGROUP
# Redis 6.2 puts what a script was told into a sentence of its own. Then redis-py has no class for it.
IN_A_SCRIPT = re.compile(rf": -(?:OOM|READONLY|CLUSTERDOWN|{'|'.join(sorted(REFUSING_WORDS))}) ")

# Plain OSErrors that speak of the way to a peer, not of a file.
UNREACHABLE = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}

PASSING_STATUS = {408, 425, 429}  # of a client error: too slow, too early, too many; from 500 on it is the server's


def refused_for_now(error: BaseException) -> bool:
    if isinstance(error, REFUSALS):
        return True
    if not isinstance(error, redis.exceptions.ResponseError):
        return False
    text = str(error).rpartition("caused error: ")[2]  # a pipeline puts its command in front
    return text.partition(" ")[0] in REFUSING_WORDS or IN_A_SCRIPT.search(text) is not None


def of_the_broker(error: BaseException) -> bool:
    """Whether an error beside a message is the broker's, or of the way to it, and not the message's: the same message
    may go well later. Do not ask about an error of reading: decompressing a bad body may raise an OSError, too."""
    return isinstance(error, (*TRANSIENT, OSError)) or refused_for_now(error)


def by_status(error: Exception) -> Kind | None:
    """The status of an HTTP answer, if the error carries one as httpx, requests, urllib and aiohttp let it."""
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
    pydantic.ValidationError: Kind.PERMANENT,
    PermanentError: Kind.PERMANENT,
    TypeError: Kind.PERMANENT,
    EncodeError: Kind.PERMANENT,
    # The body wants more than there is, or wants to end the process: so it would again.
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
        return None  # a rule that fails must not hide the failure that it was asked about


def retry_after_seconds(error: BaseException, now: Callable[[], float] = time.time) -> float | None:
    """How long the other side wants to be left alone: said by our own error, or by the header of an HTTP answer that
    it, or the error that caused it, carries."""
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
