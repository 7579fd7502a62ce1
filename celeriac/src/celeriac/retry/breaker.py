"""A circuit breaker: calls to a dependency that is down fail at once, and do not use up retries.

    closed ──5 failures in a row, or 10 of the last 20 calls──► open (5 s, 10, 20, 40, 60)
      ▲                                                        │ time over: the next call is the probe
      └────────── the probe went well ─── half-open ◄──────────┘ it failed: open again, twice as long

Each process has its own state. A call that ends after the state has changed has no effect on it.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from enum import StrEnum
from inspect import iscoroutinefunction
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakSet

from celeriac.errors import CircuitOpen
from celeriac.events import emit
from celeriac.retry.classification import Kind, classify

__all__ = ["Breaker", "CircuitOpen", "State"]

F = TypeVar("F", bound=Callable[..., Any])

# After this time a probe that has not ended is given up, and the next call is the probe. A task may run so long.
PROBE_SECONDS = 300.0

# The rounds of the breakers around the code that this thread (or this asyncio task) runs; the innermost is last.
_entered: ContextVar[tuple[int, ...]] = ContextVar("entered", default=())


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


BREAKERS: "WeakSet[Breaker]" = WeakSet()
"""All of this process."""


class Breaker(ContextDecorator):
    """One for each dependency, made once, at the top of a module; `with breaker:` around the call, or `@breaker` above
    the function that makes it. Raises CircuitOpen instead of calling.

    Every error counts as a failure of the dependency, except a permanent one (see `classify`): a dependency that
    answers "no" is up. Give the call a time-out: while a probe hangs, no other call gets through."""

    def __init__(
        self,
        name: str,
        *,
        failures_in_a_row: int = 5,
        window: int = 20,
        failure_rate: float = 0.5,
        open_seconds: float = 5.0,
        longest_open_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._failures_in_a_row = failures_in_a_row
        self._failures_in_window = failure_rate * window
        self._shortest = open_seconds
        self._longest = longest_open_seconds
        self._clock = clock
        self._lock = Lock()
        self._round = 0  # one more with every opening, and with every probe
        self._recent: deque[bool] = deque(maxlen=window)  # whether a call failed
        self._in_a_row = 0
        self._next_open_seconds = open_seconds
        self._open_until: float | None = None  # none: closed
        self._probe_until = -math.inf
        BREAKERS.add(self)

    @property
    def state(self) -> State:
        with self._lock:
            if self._open_until is None:
                return State.CLOSED
            return State.OPEN if self._clock() < self._open_until else State.HALF_OPEN

    def __call__(self, func: F) -> F:
        if iscoroutinefunction(func):  # calling it only makes the coroutine; that never fails
            raise TypeError("a breaker goes around the await, not above an async def")
        return super().__call__(func)

    def __enter__(self) -> None:
        with self._lock:
            entered_in = self._admitted()
        _entered.set((*_entered.get(), entered_in))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        *outer, entered_in = _entered.get()
        _entered.set(tuple(outer))
        failed = self._failed(error)
        with self._lock:
            if entered_in == self._round:
                self._ended(failed)

    def _admitted(self) -> int:
        """The round that a call belongs to. Raises CircuitOpen."""
        if self._open_until is None:
            return self._round
        now = self._clock()
        if now >= max(self._open_until, self._probe_until):
            self._round += 1
            self._probe_until = now + PROBE_SECONDS
            return self._round
        # Nobody knows how long the probe will take. The shortest break is a fair guess.
        seconds = self._open_until - now if now < self._open_until else self._shortest
        raise CircuitOpen(f"{self.name} is not called: its breaker is open", retry_after_seconds=seconds)

    def _failed(self, error: BaseException | None) -> bool | None:
        """None: this error says nothing about the dependency (the breaker of another one is open; the process ends)."""
        if error is None:
            return False
        if isinstance(error, CircuitOpen) or not isinstance(error, Exception):
            return None
        return classify(error) is not Kind.PERMANENT

    def _ended(self, failed: bool | None) -> None:
        if self._open_until is not None:  # it was the probe: nobody else is let in
            self._probe_until = -math.inf
            if failed is not None:
                self._open() if failed else self._close()
        elif failed is not None:
            self._recent.append(failed)
            self._in_a_row = self._in_a_row + 1 if failed else 0
            full = len(self._recent) == self._recent.maxlen
            if self._in_a_row >= self._failures_in_a_row or (full and sum(self._recent) >= self._failures_in_window):
                self._open()

    def _open(self) -> None:
        seconds = self._next_open_seconds
        self._round += 1
        self._open_until = self._clock() + seconds
        self._next_open_seconds = min(self._longest, 2 * seconds)
        emit("breaker.opened", level=logging.WARNING, breaker=self.name, open_seconds=seconds)

    def _close(self) -> None:
        self._open_until = None
        self._next_open_seconds = self._shortest
        self._recent.clear()
        self._in_a_row = 0
        emit("breaker.closed", breaker=self.name)
