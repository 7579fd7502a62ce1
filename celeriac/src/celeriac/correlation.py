"""One id for everything that one request causes, carried by message headers."""

import random
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from json.encoder import encode_basestring_ascii as quoted
from types import TracebackType
from typing import Any

import msgspec
from celery._state import get_current_task

HEADER = "x_correlation_id"  # `correlation_id` is taken: Celery's own message property of that name is the task id
PUBLISHED_AT = "published_at"  # unix seconds; a worker tells from it how long the message waited

_json = msgspec.json.Encoder().encode  # writes a number in a fifth of the time that `repr` takes
_bound: ContextVar[str | None] = ContextVar("correlation_id", default=None)


class Bound:
    """Holds from the call on; as a context manager, until its end."""

    def __init__(self, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        self._token: Token[str | None] = _bound.set(correlation_id)

    def __enter__(self) -> str:
        return self.correlation_id

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        _bound.reset(self._token)


def new() -> str:
    """32 random hex digits. An id is no secret, so this uses Python's own generator: to ask the system for random bytes
    would take longer than to make the message."""
    return f"{random.getrandbits(128):032x}"


def bind(correlation_id: str | None = None) -> Bound:
    """What is published from here on carries this id, or a new one."""
    return Bound(correlation_id or new())


def bound() -> str | None:
    """The id that was bound here."""
    return _bound.get()


def current() -> str | None:
    """The id that was bound here, else the one of the task that runs here."""
    if here := _bound.get():
        return here
    task = get_current_task()
    request = task.request if task else None
    if request is None:
        return None
    # A stock client sends no such header. Then the id of the first task of a chain stands for the whole chain.
    return request.get(HEADER) or request.root_id


def stamp(headers: dict[str, Any]) -> None:
    """Complete the headers of a message that is about to be sent."""
    headers[HEADER] = current() or headers.get(HEADER) or new()
    headers[PUBLISHED_AT] = time.time()


def stamped(correlation_id: str) -> str:
    """The same two headers as they stand in a message, in JSON."""
    return f', "{HEADER}": {quoted(correlation_id)}, "{PUBLISHED_AT}": {_json(time.time()).decode()}'


def named(headers: Mapping[str, Any] | None, task_id: str) -> dict[str, Any]:
    """Task, task id and correlation id of a message, for its line in the log. They are taken from its headers: another
    task may run in this thread by then."""
    known = headers or {}
    correlation_id = known.get(HEADER) or known.get("root_id") or task_id
    return {"task": known.get("task"), "task_id": task_id, "correlation_id": correlation_id}
