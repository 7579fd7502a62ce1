"""What is to be sent when: a schedule that no answer moves, and beside it what is to be tried again."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(order=True)
class Entry(Generic[T]):
    """One attempt that is due. `first` is when the schedule wanted the first one."""

    due: float
    number: int
    first: float = field(compare=False)
    item: T = field(compare=False)


class Agenda(Generic[T]):
    """Hands out entries to several threads, each at its time; `make(n)` gives the nth item."""

    def __init__(
        self, rate: float, make: Callable[[int], T], now: Callable[[], float] = time.monotonic, most: int | None = None
    ) -> None:
        self._rate, self._make, self._now, self._most = rate, make, now, most
        self._begun = now()
        self._number = 0
        self._again: list[Entry[T]] = []
        self._changed = threading.Condition()
        self._closes: float | None = None if rate > 0 else self._begun
        self._gives_up: float | None = None
        self._out = 0

    def close(self, patience: float) -> None:
        """Nothing new any more; what failed may be tried again for so many seconds."""
        with self._changed:
            self._closes = min(self._closes or self._now(), self._now())
            self._gives_up = self._now() + patience
            self._changed.notify_all()

    def again(self, entry: Entry[T], delay: float) -> None:
        """Try this once more, later."""
        with self._changed:
            self._out -= 1
            heapq.heappush(self._again, Entry(self._now() + delay, entry.number, entry.first, entry.item))
            self._changed.notify_all()

    def finished(self) -> None:
        """What `take` gave is settled."""
        with self._changed:
            self._out -= 1
            self._changed.notify_all()

    def take(self) -> Entry[T] | None:
        """The next entry, when it is due; None when there is none and will be none."""
        with self._changed:
            while True:
                due = self._next_due()
                now = self._now()
                if self._gives_up is not None and (now >= self._gives_up or (due is None and not self._out)):
                    return None
                if due is not None and due <= now:
                    self._out += 1
                    return self._pop()
                until = min(x for x in (due, self._gives_up, now + 0.25) if x is not None)
                self._changed.wait(max(0.0, until - now))

    @property
    def left(self) -> list[Entry[T]]:
        """What was given up."""
        return sorted(self._again)

    def _next_due(self) -> float | None:
        dues = [self._again[0].due] if self._again else []
        scheduled = self._scheduled()
        exhausted = self._most is not None and self._number >= self._most
        if not exhausted and (self._closes is None or scheduled <= self._closes) and self._rate > 0:
            dues.append(scheduled)
        return min(dues, default=None)

    def _scheduled(self) -> float:
        return self._begun + self._number / self._rate if self._rate > 0 else float("inf")

    def _pop(self) -> Entry[T]:
        if self._again and self._again[0].due <= self._now():
            return heapq.heappop(self._again)
        due, number = self._scheduled(), self._number
        self._number += 1
        return Entry(due, number, due, self._make(number))
