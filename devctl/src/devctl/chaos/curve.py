"""Memory over time, and whether it is flat. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

TENTHS = 10
FEWEST = 20
"""Values that count: two in each tenth. With fewer nothing is said."""
MOST_GROWTH = 1.1


@dataclass(frozen=True)
class Spread:
    """Of some values."""

    lowest: int
    median: int
    highest: int


@dataclass(frozen=True)
class Curve:
    """Memory in bytes, at equal distances of time."""

    name: str
    seconds: float
    """Between two values."""
    values: tuple[int, ...]
    settled: int
    """The first value that counts: before, what is there at every time is filled."""

    @property
    def first(self) -> Spread | None:
        """The first tenth of what counts."""
        return self._tenth(0)

    @property
    def last(self) -> Spread | None:
        """The last tenth."""
        return self._tenth(TENTHS - 1)

    @property
    def flat(self) -> bool | None:
        """Whether the median of the last tenth is at most 1.1 times that of the second one; None: too few values."""
        second, last = self._tenth(1), self._tenth(TENTHS - 1)
        return None if second is None or last is None else last.median <= MOST_GROWTH * second.median

    def points(self, count: int) -> list[int]:
        """So many values or fewer, each the median of those that it stands for."""
        width = max(1, -(-len(self.values) // count))
        return [_middle(self.values[at : at + width]) for at in range(0, len(self.values), width)]

    def _tenth(self, number: int) -> Spread | None:
        counted = self.values[self.settled :]
        if len(counted) < FEWEST:
            return None
        part = counted[len(counted) * number // TENTHS : len(counted) * (number + 1) // TENTHS]
        return Spread(min(part), _middle(part), max(part))


def _middle(values: Sequence[int]) -> int:
    return round(median(values))
