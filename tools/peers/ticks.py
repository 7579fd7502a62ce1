"""From what the workers told to a rate and an audit: pure functions."""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_HEAD = struct.Struct("<Qdd")


@dataclass(frozen=True)
class Tick:
    """The numbers of the tasks that one process finished between two times (unix seconds)."""

    pid: int
    since: float
    until: float
    numbers: Sequence[int]

    @property
    def count(self) -> int:
        return len(self.numbers)

    def pack(self) -> bytes:
        """As it is stored: four bytes a number."""
        return _HEAD.pack(self.pid, self.since, self.until) + array("I", self.numbers).tobytes()

    @classmethod
    def unpack(cls, stored: bytes) -> Tick:
        pid, since, until = _HEAD.unpack_from(stored)
        return cls(pid, since, until, array("I", stored[_HEAD.size :]))


@dataclass(frozen=True)
class Window:
    """A span in which all processes were at work, and what they finished in it."""

    begin: float
    end: float
    count: float

    @property
    def rate(self) -> float:
        """Completions a second."""
        return self.count / (self.end - self.begin) if self.end > self.begin else 0.0


def steady(ticks: Sequence[Tick]) -> Window:
    """From when the last process has begun to when the first one has nothing left.

    A process's last tick is left out: it was not busy to its end. Where no such span is left, all of them from the
    first beginning to the last end.
    """
    if not ticks:
        return Window(0.0, 0.0, 0.0)
    by_process: dict[int, list[Tick]] = {}
    for tick in ticks:
        by_process.setdefault(tick.pid, []).append(tick)
    begin = max(min(one.since for one in its) for its in by_process.values())
    end = min(max(one.since for one in its) for its in by_process.values())
    if end <= begin:
        begin, end = min(one.since for one in ticks), max(one.until for one in ticks)
    return Window(begin, end, sum(_share(one, begin, end) * one.count for one in ticks))


def _share(tick: Tick, begin: float, end: float) -> float:
    """How much of a tick lies in the span; what it counts is taken as spread evenly."""
    inside = min(tick.until, end) - max(tick.since, begin)
    return max(0.0, inside / (tick.until - tick.since)) if tick.until > tick.since else float(begin <= tick.since < end)


@dataclass(frozen=True)
class Audit:
    """Of tasks numbered from 0."""

    published: int
    lost: int
    doubled: int
    foreign: int

    def problem(self, *, doubled_too: bool) -> str | None:
        """What must not be, or None. At least once allows a task to run twice; ours does not."""
        if self.lost or self.foreign:
            return f"{self.lost:,} of {self.published:,} lost, {self.foreign:,} never published"
        return f"{self.doubled:,} of {self.published:,} ran twice" if self.doubled and doubled_too else None


def audit(ticks: Sequence[Tick], published: int) -> Audit:
    """Which ran, by their numbers: a lost one and a doubled one do not cancel out."""
    times = Counter(number for tick in ticks for number in tick.numbers)
    known = sum(number < published for number in times)
    return Audit(published, published - known, sum(one > 1 for one in times.values()), len(times) - known)


def between(samples: Sequence[tuple[float, float]], begin: float, end: float) -> float | None:
    """How much a counter grew in a span, by its samples (time, value); None where they do not reach around it."""
    first = [one for one in samples if one[0] <= begin]
    last = [one for one in samples if one[0] >= end]
    if not first or not last:
        return None
    inner = [first[-1], *(one for one in samples if begin < one[0] < end), last[0]]
    return _at(inner, end) - _at(inner, begin)


def _at(samples: Sequence[tuple[float, float]], time: float) -> float:
    for (left, low), (right, high) in pairwise(samples):
        if left <= time <= right:
            return low + (high - low) * ((time - left) / (right - left) if right > left else 1.0)
    return samples[-1][1]
