"""What one finished message commits, and the one that is being built in this thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PLAIN = 6  # arguments of a message that has a record and a result, and no more


class Commit:
    """One message's part of an outcome: keys and bytes, ready for outcome.lua."""

    # Defaults for all: most messages change two or three of them.
    record_key: str | bytes = ""
    record: str | bytes = ""
    record_ms = 0
    result_key: str | bytes = ""
    result: str | bytes = ""
    result_seconds = 0  # 0: kept for ever
    dead_key = ""
    dead_about: str | bytes = ""
    due: list[Any] | tuple[()] = ()  # list, message, wait in microseconds, list, …
    effects: list[tuple[Any, ...]] | tuple[()] = ()
    headers: dict[str, Any] | None = None  # of the message: a dead letter tells about it
    children: list[Any] | tuple[()] = ()  # list, message, list, message, …
    of_the_work = 0  # how many of the children, from the first on; the others hang on the message (callbacks, a chain)
    apart = False  # the message has another id than the work

    def __init__(self, tag: str, task_id: str = "") -> None:
        self.tag = tag
        self.task_id = task_id

    def add_child(self, list_key: str, raw: str | bytes) -> None:
        """A message that is published if, and only if, this is committed."""
        if isinstance(self.children, tuple):
            self.children = []
        self.children += (list_key, raw)

    def add_due(self, list_key: str, raw: str | bytes, wait_us: int) -> None:
        """The same, for a message that has to wait: a retry, a countdown."""
        self.due = [*self.due, list_key, raw, wait_us]

    def discard(self) -> None:
        """What a body wanted that did not succeed: nothing of it happens."""
        self.record = ""  # its key stays: of a task that was done before, the first outcome holds
        self.effects = self.children = self.due = ()
        self.of_the_work = 0

    def bury(self, dead_key: str, about: str | bytes) -> None:
        """A dead letter."""
        self.dead_key, self.dead_about = dead_key, about

    def arguments(self, fence: Any) -> list[Any]:
        """This message's part of ARGV."""
        if self.children or self.dead_key or self.due or self.effects or self.apart:
            flat: list[Any] = []
            for effect in self.effects:
                flat.append(len(effect))
                flat += effect
            rest = [
                *(self.record_key, self.record, self.record_ms, self.result_key, self.result_seconds, self.result),
                *(self.dead_key, self.dead_about, len(self.due) // 3, *self.due, len(self.effects), *flat),
                *(self.of_the_work if self.apart else -1, *self.children),
            ]
            return [self.tag, fence, len(rest), *rest]
        if self.record_key or self.result_key:
            return [
                *(self.tag, fence, PLAIN, self.record_key, self.record, self.record_ms),
                *(self.result_key, self.result_seconds, self.result),
            ]
        return [self.tag, fence, 0]


class _Open(threading.local):
    commit: Commit | None = None


OPEN = _Open()


class _Home:
    """The broker of this process's worker."""

    broker_url = ""
    address: Any = None


HOME = _Home()


def current(broker_url: str) -> Commit | None:
    """The commit that is open in this thread, for what goes to this broker: it becomes part of it. Another broker's
    messages cannot: they go out at once."""
    commit = OPEN.commit
    return commit if commit is not None and broker_url == HOME.broker_url else None


@contextmanager
def closed() -> Iterator[None]:
    """Inside, publishes and results go out at once. For chords: Celery deletes their data on its own, and a body that
    was held back would be gone with this process."""
    was, OPEN.commit = OPEN.commit, None
    try:
        yield
    finally:
        OPEN.commit = was
