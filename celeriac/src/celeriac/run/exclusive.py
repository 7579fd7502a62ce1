"""A message that runs alone in its worker: if the worker dies then, this message was the cause."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic, sleep
from typing import Any, Protocol

from celeriac.lease.starts import Start
from celeriac.run.threads import TaskThread

LOOK_SECONDS = 0.002  # between two looks at the other threads


class Pool(Protocol):
    """The pool, as far as it matters here."""

    threads: list[TaskThread]
    stopping: bool
    commit_all: Callable[[float], Any]


class ExclusiveRun:
    """The task thread whose body runs alone, and until when."""

    def __init__(self, thread: TaskThread, tag: str, seconds: float) -> None:
        self.thread, self.tag, self.seconds = thread, tag, seconds
        self.until = inf  # by the monotonic clock; inf: it has not begun

    def begin(self) -> None:
        """Its start is counted as one alone."""
        self.until = monotonic() + self.seconds


class Exclusive:
    """Lets one message at a time run alone.

    Task threads call all of it; the guard calls `end` and `forget`. `current` changes under the lock, and everybody
    reads it without: who reads an old value looks again before it starts a body."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self.current: ExclusiveRun | None = None

    @contextmanager
    def start(self, thread: TaskThread, tag: str, start: Start) -> Iterator[bool]:
        """Around a start of a message that came back. Yields whether it runs alone. The last start that a message may
        have is one alone: the other threads first finish what they run, as far as there is time, and start nothing.
        When its time alone is over, the guard lets them start again."""
        if not start.alone_seconds or len(self._pool.threads) < 2:
            yield bool(start.alone_seconds)
            return
        run = self._wait_to_be_alone(thread, tag, start.alone_seconds)
        try:
            yield run is not None
        finally:
            if run is not None and self.current is run:
                self._pool.commit_all(1.0)  # else, if the next message ends the process, this one would be blamed
                self.end(run)

    def counted(self, thread: TaskThread) -> None:
        """The start of a message that came back is counted. If it runs alone, its time alone begins now."""
        if self.current is not None and self.current.thread is thread:
            self.current.begin()

    def wait(self, thread: TaskThread) -> None:
        """Wait until no other message runs alone, or until the pool stops."""
        while self.current is not None and self.current.thread is not thread and not self._pool.stopping:
            thread.waiting = True
            while self.current is not None and not self._pool.stopping:
                sleep(LOOK_SECONDS)
            thread.waiting = False  # then look once more: another thread may have counted this one as waiting just now

    def end(self, run: ExclusiveRun) -> None:
        """The others may start again."""
        with self._lock:
            if self.current is run:
                self.current = None

    def forget(self, thread: TaskThread) -> None:
        """This thread has died. If its message ran alone, the others may start again."""
        with self._lock:
            if self.current is not None and self.current.thread is thread:
                self.current = None

    def _wait_to_be_alone(self, thread: TaskThread, tag: str, seconds: float) -> ExclusiveRun | None:
        """None: the others ran on for too long, or the pool stops."""
        pool, run = self._pool, ExclusiveRun(thread, tag, seconds)
        thread.waiting = True
        while not self._take_turn(run):
            if pool.stopping:
                thread.waiting = False
                return None
            sleep(LOOK_SECONDS)
        thread.waiting = False
        deadline = monotonic() + seconds
        while any(one.busy and not one.waiting for one in pool.threads if one is not thread):
            if pool.stopping or monotonic() > deadline:
                self.end(run)
                return None
            sleep(LOOK_SECONDS)
        return run

    def _take_turn(self, run: ExclusiveRun) -> bool:
        with self._lock:
            if self.current is None:
                self.current = run
            return self.current is run
