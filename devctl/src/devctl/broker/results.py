"""Results as Celery stores them: read without the app's code, or the reason why that cannot be."""

from __future__ import annotations

import json
import pickletools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol, TypedDict, cast
from urllib.parse import urlsplit

import redis

from devctl.broker import server
from devctl.broker.port import TaskResult, TaskState

_STATES: dict[str, TaskState] = {
    "PENDING": "pending",
    "RECEIVED": "pending",
    "RETRY": "retrying",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "failed",
    "REJECTED": "failed",
}
"""Any other state is one that a task gives itself while it runs: PROGRESS."""

WHAT = "the result backend"
Connect = Callable[[str], redis.Redis]
_PICKLED = "is pickled: reading it would run code of the app"


class _Said(TypedDict):
    progress: float | None
    note: str


class Results(Protocol):
    """Where results are."""

    why_none: str
    """Why no result can be read, whatever becomes of the task; "" where they can be."""

    def read(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now, in the same order; does not wait."""

    def ids(self, start: str) -> list[str]:
        """The ids of tasks with a result that begin so."""

    def drop(self, task_ids: Sequence[str]) -> None:
        """Remove these results."""


class RedisResults:
    """Results in a Redis; `prefix` is the `global_keyprefix` of `result_backend_transport_options`."""

    why_none = ""

    def __init__(
        self, url: str, hint: str, prefix: str = "", connect: Connect = server.connect, what: str = WHAT
    ) -> None:
        self.url, self._hint, self._connect, self._what = url, hint, connect, what
        self._head = f"{with_end(prefix)}{key('')}"

    @cached_property
    def _client(self) -> redis.Redis:
        return self._connect(self.url)

    def _answering(self) -> AbstractContextManager[None]:
        return server.answering(self.url, self._hint, self._what)

    def read(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now."""
        found: list[TaskResult] = []
        with self._answering():
            for ids in batches(task_ids, 1_000):
                stored = cast("list[bytes | None]", self._client.mget([f"{self._head}{one}" for one in ids]))
                found += map(read, ids, stored)
        return found

    def ids(self, start: str) -> list[str]:
        """Reads all keys."""
        with self._answering():
            return sorted(stored_ids(self._client, self._head, start))

    def drop(self, task_ids: Sequence[str]) -> None:
        """Remove these results."""
        with self._answering():
            for ids in batches(task_ids, 1_000):
                self._client.unlink(*(f"{self._head}{one}" for one in ids))


class NoResults:
    """There are none that anybody could read from here."""

    def __init__(self, why_none: str) -> None:
        self.why_none = why_none

    def read(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """Nothing is known."""
        return [TaskResult(one, "pending") for one in task_ids]

    def ids(self, start: str) -> list[str]:
        """None."""
        return []

    def drop(self, task_ids: Sequence[str]) -> None:
        """Nothing is there."""


def key(task_id: str) -> str:
    """Where a result lies."""
    return f"celery-task-meta-{task_id}"


def with_end(prefix: str) -> str:
    """The prefix as Celery puts it before its keys of results."""
    return prefix if not prefix or prefix[-1] in ":_-." else f"{prefix}_"


def read(task_id: str, stored: bytes | None) -> TaskResult:
    """Understand what lies there; nothing there means that nobody knows of the task yet."""
    if stored is None:
        return TaskResult(task_id, "pending")
    try:
        meta = json.loads(stored)
        status = str(meta["status"])
    except (ValueError, TypeError, KeyError):
        return _pickled(task_id, stored)
    state, result = _STATES.get(status, "started"), meta.get("result")
    finished = _moment(meta.get("date_done"))
    if status not in _STATES:
        return TaskResult(task_id, state, result, finished=finished, **_said(result))
    if state not in {"failed", "retrying"}:
        return TaskResult(task_id, state, result, finished=finished)
    error = result if isinstance(result, dict) else {}
    return TaskResult(
        task_id,
        state,
        error_type=str(error.get("exc_type") or status.capitalize()),
        error_message=_text(error.get("exc_message", "" if error else result)),
        finished=finished,
    )


def _said(meta: Any) -> _Said:
    """What a task says of its progress: as celeriac stores it, or `current` of `total`, as Celery's manual has it."""
    found = meta if isinstance(meta, dict) else {}
    share, note = found.get("progress"), found.get("note")
    current, total = found.get("current"), found.get("total")
    if share is None and isinstance(current, int | float) and isinstance(total, int | float) and total > 0:
        share, note = current / total, note or f"{current} of {total}"
    fits = isinstance(share, int | float) and 0 <= share <= 1
    return {"progress": share if fits else None, "note": note if isinstance(note, str) else ""}


def _moment(written: Any) -> float | None:
    """Celery writes a time without a zone for UTC."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _pickled(task_id: str, stored: bytes) -> TaskResult:
    """Its state alone, read without loading anything."""
    state: TaskState
    try:
        words = [word for code, word, _ in pickletools.genops(stored) if "UNICODE" in code.name]
        state = _STATES.get(str(words[words.index("status") + 1]), "started")
    except (ValueError, IndexError):  # neither JSON nor a pickle
        return TaskResult(task_id, "started", unreadable="what the backend has of it is neither JSON nor a pickle")
    what = "error" if state in {"failed", "retrying"} else "result"
    return TaskResult(task_id, state, unreadable=f"its {what} {_PICKLED}")


def _text(message: Any) -> str:
    if isinstance(message, list | tuple):
        return ", ".join(str(part) for part in message)
    return "" if message is None else str(message)


_ELSEWHERE = {
    "disabled": "the app has no result backend (result_backend is not set)",
    "django-db": "results go into the app's Django database (django-db): its admin shows them under Task results",
    "django-cache": "results go into the app's Django cache (django-cache), which only its own code reads",
    "db": "results go into a database ({url}), pickled: only the app's own code reads them",
    "rpc": "results go to whoever sent the task (rpc://), once, and to nobody else",
    "amqp": "results go to whoever sent the task (amqp), once, and to nobody else",
    "cache": "results go into {url}, which devctl does not read",
    "file": "results go into a folder of the worker ({url}), which devctl does not read",
}


def why_elsewhere(url: str) -> str:
    """Why the results of this backend cannot be read from here; "" for a Redis."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in server.SCHEMES or url.startswith("redis+socket://"):
        return ""
    shown = f"{scheme}://{urlsplit(url).hostname or ''}"
    said = _ELSEWHERE.get(scheme or "disabled", "results go into {url}, which devctl does not read")
    return said.replace("{url}", shown)


def open_results(url: str, hint: str, prefix: str = "", connect: Connect = server.connect, what: str = WHAT) -> Results:
    """Where the results of this backend are; `what` it is called where it does not answer."""
    why = why_elsewhere(url)
    return NoResults(why) if why else RedisResults(url, hint, prefix, connect, what)


def stored_ids(client: redis.Redis, head: str, start: str) -> Iterator[str]:
    """What follows `head` in the names of all keys that begin with both."""
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", head + start) + "*"
    for name in client.scan_iter(match=pattern, count=5_000, _type="string"):
        yield name.decode(errors="replace").removeprefix(head)


def batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in parts."""
    return (items[start : start + size] for start in range(0, len(items), size))
