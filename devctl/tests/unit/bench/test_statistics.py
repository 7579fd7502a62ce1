"""Estimators on data whose answer is known."""

from __future__ import annotations

import random
from itertools import product
from statistics import median

import pytest

from devctl.bench import statistics


def test_the_bootstrap_of_equal_runs_is_a_point() -> None:
    assert statistics.Estimate(7.0, 7.0, 7.0) == statistics.bootstrap([7.0] * 5)


def test_one_run_has_no_interval_but_itself() -> None:
    assert statistics.Estimate(3.0, 3.0, 3.0) == statistics.bootstrap([3.0])


def test_the_same_runs_always_give_the_same_interval() -> None:
    runs = [98.0, 101.0, 100.0, 104.0, 97.0, 103.0, 99.0]

    assert statistics.bootstrap(runs) == statistics.bootstrap(runs)


def _exact_interval(sample: list[float], level: float) -> tuple[float, float]:
    """All n^n resamples instead of some: what the bootstrap draws from."""
    medians = sorted(median(drawn) for drawn in product(sample, repeat=len(sample)))
    tail = (1 - level) / 2

    def at(share: float) -> float:
        return next(v for n, v in enumerate(medians, 1) if n / len(medians) >= share - 1e-12)

    return at(tail), at(1 - tail)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("sample", [[1.0, 2.0, 4.0], [10.0, 11.0, 15.0, 30.0, 31.0], [5.0, 1.0, 9.0, 2.0]])
def test_the_bootstrap_interval_is_the_one_of_all_possible_resamples(sample: list[float], level: float) -> None:
    found = statistics.bootstrap(sample, level=level)

    assert (median(sample), *_exact_interval(sample, level)) == (found.median, found.low, found.high)


def test_up_to_five_runs_the_interval_is_their_whole_span() -> None:
    found = statistics.bootstrap([3.0, 1.0, 2.0, 5.0, 4.0])

    assert (1.0, 5.0) == (found.low, found.high)


@pytest.mark.parametrize(("runs", "expected"), [(3, 0.75), (5, 0.9375), (6, 0.96875)])
def test_the_span_of_a_few_runs_covers_what_order_statistics_say(runs: int, expected: float) -> None:
    assert expected == statistics.coverage(runs)


def test_the_coverage_of_the_span_is_seen_in_simulated_runs() -> None:
    pick = random.Random(1)
    hits = 0
    for _ in range(4_000):
        runs = [pick.gauss(100, 5) for _ in range(3)]
        hits += min(runs) <= 100 <= max(runs)

    assert pytest.approx(0.75, abs=0.02) == hits / 4_000


def test_twelve_runs_give_an_interval_that_covers_nearly_as_often_as_it_says() -> None:
    pick = random.Random(2)
    hits = 0
    for _ in range(400):
        found = statistics.bootstrap([pick.gauss(100, 5) for _ in range(12)], resamples=400)
        hits += found.low <= 100 <= found.high

    assert pytest.approx(0.95, abs=0.04) == hits / 400


def test_paired_ratios_divide_a_slow_drift_out() -> None:
    drift = [1.0, 0.9, 0.8, 0.7]
    one, four = [100 * d for d in drift], [350 * d for d in drift]

    assert pytest.approx([3.5] * 4) == statistics.paired_ratios(four, one)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([100, 101, 99, 100, 60], [4]),
        ([100, 101, 99, 100, 102], []),
        ([100.0, 100.01, 99.99, 100.02, 103.0], []),  # far in deviations, but 3% is nothing
        ([100, 100, 100, 150], [3]),
    ],
)
def test_an_outlier_is_far_from_the_others_and_by_more_than_a_little(runs: list[float], expected: list[int]) -> None:
    assert expected == statistics.outliers(runs)


def test_the_trend_is_the_change_over_all_runs_and_one_odd_run_does_not_make_it() -> None:
    assert pytest.approx(40 / 120) == statistics.trend([100, 110, 120, 130, 140])
    assert pytest.approx(0.0) == statistics.trend([100, 100, 500, 100, 100])
    assert 0.0 == statistics.trend([100])


def test_runs_that_only_fall_are_told_from_runs_that_vary() -> None:
    assert statistics.steadily([5, 4, 3, 1])
    assert not statistics.steadily([5, 4, 4, 1])
    assert not statistics.steadily([5, 4, 6, 1])
