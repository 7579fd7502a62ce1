"""Estimates over a few runs: pure functions, each with its source; tested on data whose answer is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 20_261_123  # any fixed number: the same runs must always give the same interval


@dataclass(frozen=True)
class Estimate:
    """A value and the interval around it."""

    median: float
    low: float
    high: float

    @property
    def relative_width(self) -> float:
        """Width of the interval over the median: 0.1 is "within ±5%"."""
        return (self.high - self.low) / self.median if self.median else math.inf


def bootstrap(
    sample: Sequence[float],
    statistic: Callable[[Sequence[float]], float] = median,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """The statistic with its percentile bootstrap interval.

    Efron and Tibshirani, An Introduction to the Bootstrap, §13.3. Not BCa: its correction needs the jackknife of the
    statistic, and the jackknife of a median is not consistent (the same book, §11.6). How much the interval of a
    handful of runs can promise, `coverage` says.
    """
    if len(sample) == 1:
        return Estimate(statistic(sample), sample[0], sample[0])
    pick = random.Random(seed)  # noqa: S311 -- resampling, not a secret
    drawn = sorted(statistic(pick.choices(sample, k=len(sample))) for _ in range(resamples))
    tail = (1 - level) / 2
    return Estimate(statistic(sample), _nearest(drawn, tail), _nearest(drawn, 1 - tail))


def _nearest(ordered: Sequence[float], share: float) -> float:
    # An observed value, not one between two: with few runs the bootstrap distribution has few, far apart.
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def coverage(runs: int) -> float:
    """How often the span from the lowest to the highest of so many runs holds the true median, at best.

    The median lies outside only if all runs fall on one side of it: 1 - 2 (1/2)^n; David and Nagaraja, Order
    Statistics, §7.1. No interval taken from the runs alone is wider, so 3 runs cannot give 95%, whatever the method.
    """
    return 1 - 2 * 0.5**runs


def paired_ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Ratios of runs of the same round: what drifts slowly over the rounds divides out."""
    return [above / below for above, below in zip(numerator, denominator, strict=True)]


def outliers(sample: Sequence[float], *, threshold: float = 3.5, least: float = 0.05) -> list[int]:
    """Positions of runs far from the rest: modified z-score; Iglewicz and Hoaglin, How to Detect Outliers (1993).

    `least`: a run within 5% of the median is no outlier, however close together the others lie.
    """
    middle = median(sample)
    spread = median(abs(value - middle) for value in sample)
    return [
        position
        for position, value in enumerate(sample)
        if abs(value - middle) > least * middle and (spread == 0 or 0.6745 * abs(value - middle) / spread > threshold)
    ]


def trend(sample: Sequence[float]) -> float:
    """Change from the first to the last run as a share of the median, by the median of all pairwise slopes.

    The Theil-Sen estimator, which one odd run does not move: Sen, Journal of the American Statistical Association 63
    (1968).
    """
    slopes = [
        (sample[later] - sample[earlier]) / (later - earlier)
        for earlier in range(len(sample))
        for later in range(earlier + 1, len(sample))
    ]
    return median(slopes) * (len(sample) - 1) / median(sample) if slopes else 0.0


def steadily(sample: Sequence[float]) -> bool:
    """Whether the runs only rise, or only fall: what chance does to n runs once in n!/2 times."""
    steps = [later - earlier for earlier, later in pairwise(sample)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)
