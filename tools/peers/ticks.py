"""From what the workers told to a rate and an audit: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Tick:
    """What one process finished between two times (unix seconds)."""

    pid: int
    since: float
    until: float
    count: int
    sum: int
    squares: int


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


def audit(ticks: Sequence[Tick], published: int) -> str | None:
    """What is wrong, or None: numbers 0 to published - 1, each once.

    Count, sum and sum of squares must all be right: a lost number and a doubled one do not cancel out.
    """
    done = sum(one.count for one in ticks)
    if done != published:
        return f"{done:,} of {published:,} done"
    last = published - 1
    sums = (last * published // 2, last * published * (2 * last + 1) // 6)
    if (sum(one.sum for one in ticks), sum(one.squares for one in ticks)) != sums:
        return f"{published:,} done, but some twice and some not"
    return None


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
