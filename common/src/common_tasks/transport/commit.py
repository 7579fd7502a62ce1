"""What one finished message commits, and the one that is being built in this thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common_tasks.transport.committer import Committer

WORD = 8  # bytes of a number, and of the frame of a word
PLAIN = 6  # arguments of a message that has a record and a result, and no more


class Verdict(StrEnum):
    """What Redis answered to a commit."""

    COMMITTED = "committed"
    REFUSED = "refused"  # its lease is somebody else's: nothing of it happened
    REPEATED = "repeated"  # its record was there: it was done before, and only acknowledged now
    IMPOSSIBLE = "impossible"  # Redis will never take it as it is: it becomes a dead letter


class NotCommitted(BaseException):
    """The run of a body was not the one that counts, so what follows a commit must not happen. No Exception: nobody but
    who runs the body may catch it."""


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
    verdict: Verdict | None = None  # None: Redis was not asked yet
    after: list[Callable[[], None]] | tuple[()] = ()  # called once it is committed
    stated = False  # a state of this run is stored: the body's own, or STARTED

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

    def then(self, callback: Callable[[], None]) -> None:
        """Called after the commit, by the thread that reads the answer; never where it is refused or repeated."""
        if self.verdict is None:
            self.after = [*self.after, callback]
        elif self.verdict is Verdict.COMMITTED:
            callback()

    def discard(self) -> None:
        """What a body wanted that did not succeed: nothing of it happens."""
        self.record = ""  # its key stays: of a task that was done before, the first outcome holds
        self.effects = self.children = self.due = self.after = ()
        self.of_the_work = 0

    def bury(self, dead_key: str, about: str | bytes) -> None:
        """A dead letter."""
        self.dead_key, self.dead_about = dead_key, about

    @property
    def size(self) -> int:
        """Bytes of its arguments, about: a character of text counts as one."""
        size = len(self.result) + len(self.dead_about)
        if self.children:
            size += sum(map(len, self.children))
        if self.due:
            size += sum(map(len, self.due[1::3]))
        for effect in self.effects:
            size += sum(len(word) if isinstance(word, str | bytes) else WORD for word in effect) + WORD * len(effect)
        return size

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
    commit: Commit | None = None  # what this thread publishes and stores becomes part of it
    own: Commit | None = None  # of the message that this thread works on: also while nothing is added to it


OPEN = _Open()
STATING = threading.Lock()
"""Held while `stated` of a commit is looked at or changed: what the guard stores late and what a body stores itself
must not cross."""


class _Home:
    """The worker of this process: its app, its broker, and who commits."""

    app: Any = None
    broker_url = ""
    address: Any = None
    committer: "Committer | None" = None


HOME = _Home()


def current(broker_url: str) -> Commit | None:
    """The commit that is open in this thread, for what goes to this broker: it becomes part of it. Another broker's
    messages cannot: they go out at once."""
    commit = OPEN.commit
    return commit if commit is not None and broker_url == HOME.broker_url else None


@contextmanager
def opened(commit: Commit | None) -> Iterator[None]:
    """Inside, what this thread publishes and stores becomes part of this commit."""
    was = OPEN.commit, OPEN.own
    OPEN.commit = OPEN.own = commit
    try:
        yield
    finally:
        OPEN.commit, OPEN.own = was


def commit_now() -> None:
    """Commit what is open in this thread, and wait for it: hooks of success and failure see the world as it is after.
    What they publish goes out at once. Raises NotCommitted where this run is not the one that counts."""
    commit, committer = OPEN.commit, HOME.committer
    if commit is None or committer is None:
        return
    verdict = committer.commit(commit)
    OPEN.commit = OPEN.own = None
    if verdict is not Verdict.COMMITTED:
        raise NotCommitted(verdict.value)


@contextmanager
def closed() -> Iterator[None]:
    """Inside, publishes and results go out at once. For chords: Celery deletes their data on its own, and a body that
    was held back would be gone with this process."""
    was, OPEN.commit = OPEN.commit, None
    try:
        yield
    finally:
        OPEN.commit = was
