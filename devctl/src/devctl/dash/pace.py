"""When to look again: what takes long is looked at seldom, so that all looks together take a small part of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

MOST_SECONDS = 30.0


class Pace:
    """Of one source: every so many seconds, and at most a part of the time."""

    def __init__(self, seconds: float, part: float = 0.02) -> None:
        self._seconds, self._part = seconds, part
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        """Whether it is time."""
        return now >= self._next

    def soon(self) -> None:
        """Something has changed: look at the next opportunity."""
        self._next = float("-inf")

    @contextmanager
    def look(self, now: float) -> Iterator[None]:
        """One look; after one that failed, the next is not put off."""
        begun = time.perf_counter()
        self._next = now + self._seconds
        yield
        took = time.perf_counter() - begun
        self._next = now + max(self._seconds, min(took / self._part, MOST_SECONDS))
