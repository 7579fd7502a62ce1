"""Celery's result backend for callers who wait: a read ends in time, also while Redis is away."""

from collections.abc import Callable
from functools import partial
from typing import Any

from celeriac.http import faults
from celeriac.http.calls import Calls, NoAnswer
from celeriac.http.faults import FAILURES, BrokerUnavailable


def make_patient(backend: Any, reads: Calls) -> None:
    """From here on, this backend reads through `reads`, and raises BrokerUnavailable if that fails."""
    for name in ("get", "mget"):
        setattr(backend, name, partial(in_time, reads, getattr(backend, name)))


def in_time(reads: Calls, read: Callable[..., Any], *arguments: Any) -> Any:
    """What this read of Redis returns. Raises BrokerUnavailable if Redis fails, or does not answer in time."""
    try:
        return reads(partial(read, *arguments))
    except BrokerUnavailable:
        raise
    except NoAnswer as exc:
        raise BrokerUnavailable(faults.SILENT) from exc
    except FAILURES as exc:
        raise BrokerUnavailable(faults.reason(exc)) from exc
