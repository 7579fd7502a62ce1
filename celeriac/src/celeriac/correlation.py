"""One id for everything that one request causes, carried by message headers; and the request's place in a trace."""

import random
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from json.encoder import encode_basestring_ascii as quoted
from types import TracebackType
from typing import Any, NamedTuple

import msgspec
from celery._state import get_current_task

from celeriac.trace_context import TRACEPARENT, TRACESTATE, Trace

HEADER = "x_correlation_id"  # `correlation_id` is taken: Celery's own message property of that name is the task id
PUBLISHED_AT = "published_at"  # unix seconds; a worker tells from it how long the message waited
TRACED = (TRACEPARENT, TRACESTATE)

_json = msgspec.json.Encoder().encode  # writes a number in a fifth of the time that `repr` takes


class Request(NamedTuple):
    """The HTTP request that is answered here."""

    who: str
    """The service."""
    via: str
    """`POST /api/orders`."""
    since: float
    """When it began; `time.monotonic()`."""


class Bound:
    """Holds from the call on; as a context manager, until its end. Trace and request are those around it, unless others
    are given."""

    def __init__(self, correlation_id: str, trace: Trace | None = None, request: Request | None = None) -> None:
        around = _bound.get()
        self.correlation_id = correlation_id
        self.trace: Trace | None = trace or (around.trace if around else _task_trace())
        self.request: Request | None = request or (around.request if around else None)
        self._token: Token[Bound | None] = _bound.set(self)

    def __enter__(self) -> str:
        return self.correlation_id

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        _bound.reset(self._token)


_bound: ContextVar[Bound | None] = ContextVar("correlation", default=None)


def new() -> str:
    """32 random hex digits: a valid trace id, too. An id is no secret, so this uses Python's own generator: to ask the
    system for random bytes would take longer than to make the message."""
    return f"{random.getrandbits(128):032x}"


def bind(correlation_id: str | None = None, *, traceparent: str | None = None, tracestate: str = "") -> Bound:
    """What is published from here on carries this id, or a new one. `traceparent` and `tracestate`: the headers of a
    request (W3C Trace Context), which messages then carry, too; without an id, the trace's is the id. A traceparent
    that is not valid is ignored."""
    trace = Trace.read(traceparent, tracestate)
    return Bound(correlation_id or (trace.id if trace else new()), trace)


def bound() -> Bound | None:
    """What was bound here."""
    return _bound.get()


def current() -> str | None:
    """The id that was bound here, else the one of the task that runs here."""
    if (here := _bound.get()) is not None:
        return here.correlation_id
    request = _task_request()
    if request is None:
        return None
    # A stock client sends no such header. Then the id of the first task of a chain stands for the whole chain.
    found: str | None = request.get(HEADER) or request.root_id
    return found


def trace() -> Trace | None:
    """The trace that was bound here, else the one of the task that runs here."""
    here = _bound.get()
    return _task_trace() if here is None else here.trace


def request() -> Request | None:
    """The HTTP request that is answered here. For the thread that publishes: other threads do not know it."""
    here = _bound.get()
    return None if here is None else here.request


def of_message(headers: Mapping[str, Any]) -> Bound:
    """As in the task of this message: for what is done in its name where no task runs."""
    return Bound(_id_of(headers, str(headers.get("id") or "")) or new(), Trace.of(headers))


def stamp(headers: dict[str, Any]) -> None:
    """Complete the headers of a message that is about to be sent. A trace that they have already stays: some library
    has put it there."""
    headers[HEADER] = current() or headers.get(HEADER) or new()
    headers[PUBLISHED_AT] = time.time()
    if TRACEPARENT not in headers and (here := trace()) is not None:
        headers.update(here.headers)


def stamped(correlation_id: str, traced: Mapping[str, str] | None) -> str:
    """The same headers as they stand in a message, in JSON. `traced`: those of its trace."""
    text = f', "{HEADER}": {quoted(correlation_id)}, "{PUBLISHED_AT}": {_json(time.time()).decode()}'
    return text + "".join([f', "{name}": {quoted(value)}' for name, value in traced.items()]) if traced else text


def named(headers: Mapping[str, Any] | None, task_id: str) -> dict[str, Any]:
    """Task, task id and ids of correlation and trace of a message, for its line in the log. They are taken from its
    headers: another task may run in this thread by then."""
    known = headers or {}
    fields = {"task": known.get("task"), "task_id": task_id, "correlation_id": _id_of(known, task_id)}
    return fields | trace_id(known) if TRACEPARENT in known else fields


def trace_id(headers: Any) -> dict[str, str]:
    """`trace_id` for a line in the log, if this message (or Celery's request) has a trace."""
    here = None if headers.get(TRACEPARENT) is None else Trace.of(headers)
    return {} if here is None else {"trace_id": here.id}


def _id_of(headers: Mapping[str, Any], task_id: str) -> Any:
    return headers.get(HEADER) or headers.get("root_id") or task_id


def _task_trace() -> Trace | None:
    request = _task_request()
    return None if request is None else Trace.of(request)


def _task_request() -> Any:
    task = get_current_task()
    return task.request if task else None
