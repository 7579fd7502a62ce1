"""What one finished message commits, and the one that is being built in this thread."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

import msgspec

WORD = 8  # bytes of a number, and of the frame of a word
NUMBERS = (int, float)
Said = tuple[float, str]  # how far a body is, from 0 to 1, and a note
PLAIN = 6  # arguments of a message that has a record and a result, and nothing else


class Verdict(StrEnum):
    """What Redis answered to a commit."""

    COMMITTED = "committed"
    REFUSED = "refused"  # the lease was not ours any more: nothing happened
    REPEATED = "repeated"  # there was a record: the work was done before, and the message is only acknowledged
    IMPOSSIBLE = "impossible"  # Redis will never take it: the message becomes a dead letter


class NotCommitted(BaseException):
    """This run of a body was refused or repeated: no hook and no signal may follow it. It is no Exception, so that no
    `except Exception:` on the way catches it."""


Sent = tuple[str, str, str, dict[str, Any]]
"""Of a message that a commit publishes: its id, delivery tag and task, and further facts: attempt, root, …"""


class Commit:
    """What one message commits: keys and bytes, ready for outcome.lua.

    It belongs to the thread that runs its task, until it is submitted; then to the thread that has the lock of the
    committer. Others may take messages out of it (`publish_ahead_of`: under SENDING, until `sealed`), and change
    `stated` (under STATING)."""

    # Defaults on the class: most messages change two or three of them.
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
    headers: dict[str, Any] | None = None  # of the message, for its dead letter and its lines in the log
    children: list[Any] | tuple[()] = ()  # list, message, list, message, …
    of_the_work = 0  # how many children, from the first on, belong to the work; the others (callbacks, a chain) do not
    apart = False  # the message has another id than the work
    verdict: Verdict | None = None  # None: Redis was not asked yet
    after: list[Callable[[], None]] | tuple[()] = ()  # called once it is committed
    stated = False  # a state of this run is stored: the body's own, STARTED, or PROGRESS
    said: Said | None = None  # the newest word of the body about its progress; any thread
    done = False  # its task has succeeded, as Celery's tracer says
    succeeded = False  # its body has stored a success itself
    sealed = False  # it is on its way: nothing of it is sent ahead any more
    # For its record (see celeriac.life.pack):
    since = 0.0  # when its body began, monotonic clock
    until = 0.0  # when it was finished
    facts: dict[str, Any] | None = None  # what is unusual: attempt, state, error, what it sends, …

    def __init__(self, tag: str, task_id: str = "", task: str = "") -> None:
        self.tag = tag
        self.task_id = task_id
        self.task = task

    def add_child(self, list_key: str, raw: str | bytes, sent: "Sent | None" = None) -> None:
        """Add a message that is published if, and only if, this is committed. `sent`: what it is, for the record."""
        with SENDING:
            if isinstance(self.children, tuple):
                self.children = []
            self.children += (list_key, raw)
            self._note_sent(list_key, 0, sent)

    def add_due(self, list_key: str, raw: str | bytes, wait_us: int, sent: "Sent | None" = None) -> None:
        """The same, for a message that has to wait: a retry, a countdown."""
        with SENDING:
            self.due = [*self.due, list_key, raw, wait_us]
            self._note_sent(list_key, wait_us, sent)

    def _note_sent(self, list_key: str, wait_us: int, sent: "Sent | None") -> None:
        if sent is None:
            return
        task_id, tag, task, more = sent
        word = [task_id, tag, task, list_key, wait_us, more]
        if self.facts is None:
            self.facts = {"sent": [word]}
        else:
            self.facts.setdefault("sent", []).append(word)

    def note(self, **facts: Any) -> None:
        """For the record of this end."""
        if self.facts is None:
            self.facts = facts
        else:
            self.facts.update(facts)

    def seal(self) -> None:
        """Its body has ended, but a thread of that body may still ask for what the body has sent."""
        if self.children or self.due:
            with SENDING:
                self.sealed = True

    def then(self, callback: Callable[[], None]) -> None:
        """Called after the commit, by the thread that reads the answer; never where it is refused or repeated."""
        if self.verdict is None:
            self.after = [*self.after, callback]
        elif self.verdict is Verdict.COMMITTED:
            callback()

    def discard(self) -> None:
        """The body failed: drop all that it wanted."""
        self.record = ""  # the key stays: if the work was done before, its first outcome stays
        self.effects = self.children = self.due = self.after = ()
        self.of_the_work = 0
        if self.facts is not None:
            self.facts.pop("sent", None)
            if self.apart:
                self.facts["apart"] = 0

    def bury(self, dead_key: str, about: str | bytes) -> None:
        """Add a dead letter."""
        self.dead_key, self.dead_about = dead_key, about
        self.note(dead=True, state="FAILURE")

    @property
    def size(self) -> int:
        """About how many bytes its arguments have; each character of a text counts as one."""
        size = len(self.result) + len(self.dead_about)
        if self.children:
            size += sum(map(len, self.children))
        if self.due:
            size += sum(map(len, self.due[1::3]))
        for effect in self.effects:
            size += sum(len(word) if isinstance(word, str | bytes) else WORD for word in effect) + WORD * len(effect)
        return size

    def arguments(self, fence: Any) -> list[Any]:
        """This message's words for outcome.lua: text, bytes, and numbers where the script calculates."""
        if self.children or self.dead_key or self.due or self.effects or self.apart:
            flat: list[Any] = []
            for effect in self.effects:
                flat.append(len(effect))
                flat += [repr(word) if type(word) in NUMBERS else word for word in effect]
            rest = [
                *(self.record_key, self.record, str(self.record_ms)),
                *(self.result_key, str(self.result_seconds), self.result),
                *(self.dead_key, self.dead_about, len(self.due) // 3, *self.due, len(self.effects), *flat),
                *(self.of_the_work if self.apart else -1, *self.children),
            ]
            return [self.tag, fence, len(rest), *rest]
        if self.record_key or self.result_key:
            return [
                *(self.tag, fence, PLAIN, self.record_key, self.record, str(self.record_ms)),
                *(self.result_key, str(self.result_seconds), self.result),
            ]
        return [self.tag, fence, 0]


_pack, AS_IT_IS = msgspec.msgpack.Encoder().encode, frozenset({str, int})


def packed(words: list[Any]) -> bytes:
    """The words of all messages of a call as its one argument, in MessagePack. (redis-py, Redis and Lua look at every
    argument: of 900, for 100 messages, that took redis-py a third of a millisecond.) Raises TypeError for what is no
    word."""
    return _pack([word if type(word) in AS_IT_IS else _word(word) for word in words])


def _word(word: Any) -> Any:
    if isinstance(word, bytes):  # Redis's MessagePack has no bytes, but its text may be any bytes
        return msgspec.Raw(b"\xdb" + len(word).to_bytes(4, "big") + word)
    if isinstance(word, str):
        return str.__str__(word)
    raise TypeError(f"{type(word).__name__} is no word for Redis")


SENDING = threading.Lock()
"""Held while a message is added to a commit, or taken from it by another thread than its own."""


class _Open(threading.local):
    commit: Commit | None = None  # what this thread publishes and stores becomes part of it
    own: Commit | None = None  # of the message that this thread works on; also while `commit` is set aside
    ending = False  # a state that is stored is the task's end, and not a body's own word
    revoked = ""  # the task that Celery's consumer has just called revoked: its acknowledgement follows
    looks = True  # the task itself reads; False: Celery reads, in order to store


OPEN = _Open()
STATING = threading.Lock()
"""Hold this lock to read or change `stated` of a commit: the guard stores STARTED late, and must not overwrite a state
that the body stores in the same moment."""


class Commits(Protocol):
    """The committer, as far as it matters here."""

    def commit(self, commit: Commit) -> Verdict: ...
    def store(self, commit: Commit) -> bool: ...


class _Home:
    """The worker of this process: its app, its broker, its committer. Set when a consumer starts; all threads read."""

    app: Any = None
    broker_url = ""
    address: Any = None
    committer: Commits | None = None
    commits: Callable[[], list[Commit]] = list  # those of the bodies that run in threads of this process


HOME = _Home()


def _forked() -> None:
    """A body that forks: its child process ends no message, and nobody would commit what it publishes."""
    OPEN.commit = OPEN.own = HOME.committer = None
    HOME.commits = list


os.register_at_fork(after_in_child=_forked)


def current(app: Any) -> Commit | None:
    """The commit that is open in this thread, for a message of this app. None if the app has another broker: a message
    to it cannot be part of the commit, and goes out at once."""
    commit = OPEN.commit
    if commit is None or app is HOME.app or app.conf.broker_url == HOME.broker_url:  # to read a setting takes long
        return commit
    return None


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
    """Commit what is open in this thread, and wait for the answer. So hooks that run next see the committed outcome,
    and what they publish goes out at once. Raises NotCommitted if this run was refused or repeated: then no hook
    runs."""
    commit, committer = OPEN.commit, HOME.committer
    if commit is None or committer is None:
        return
    verdict = committer.commit(commit)
    OPEN.commit = OPEN.own = None
    if verdict is not Verdict.COMMITTED:
        raise NotCommitted(verdict.value)


@contextmanager
def closed() -> Iterator[None]:
    """Inside, publishes and results go out at once. For chords: Celery deletes the data of a chord by itself, so a body
    that waited for a commit would be lost if this process died."""
    was, OPEN.commit = OPEN.commit, None
    try:
        yield
    finally:
        OPEN.commit = was


@contextmanager
def ending() -> Iterator[None]:
    """Inside, a state that is stored of this thread's task is its end, and becomes part of its outcome."""
    was, OPEN.ending = OPEN.ending, True
    try:
        yield
    finally:
        OPEN.ending = was
