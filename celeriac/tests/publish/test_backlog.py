from collections.abc import Callable

import pytest

from celeriac.publish.backlog import Backlog


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def least(low: float, high: float) -> float:
    return low


def most(low: float, high: float) -> float:
    return high


def watch(clock: Clock, seconds: float, depth: Callable[[float], int], accepted: int = 0) -> Backlog:
    """A queue seen ten times a second, into which so many of ours came each time."""
    backlog = Backlog(clock)
    for tick in range(round(seconds * 10) + 1):
        clock.now = 1_000 + tick / 10
        backlog.saw(depth(tick / 10), accepted)
    return backlog


def test_a_queue_that_shrinks_by_fifty_a_second_needs_four_seconds_for_a_fifth_of_a_thousand(clock: Clock) -> None:
    backlog = watch(clock, 10, lambda second: 1_500 - round(50 * second))
    assert 50 == pytest.approx(backlog.per_second(1_000), rel=0.01)
    assert 4.0 == pytest.approx(backlog.retry_after_seconds(1_000, 1_000, least), rel=0.01)


def test_what_we_put_in_meanwhile_was_drained_too(clock: Clock) -> None:
    backlog = watch(clock, 10, lambda second: 1_000, accepted=5)
    assert 50 == pytest.approx(backlog.per_second(1_000), rel=0.02)


def test_what_others_put_in_makes_it_look_slower_never_faster(clock: Clock) -> None:
    backlog = watch(clock, 10, lambda second: 1_000 + round(20 * second), accepted=5)  # 70 a second come, 20 by others
    assert 30 == pytest.approx(backlog.per_second(1_200), rel=0.02)


def test_what_is_not_known_and_what_does_not_drain_get_the_longest_wait(clock: Clock) -> None:
    assert 60 == Backlog(clock).retry_after_seconds(1_000, 1_000, least)
    too_short = watch(clock, 0.9, lambda second: 1_000 - round(100 * second))
    assert 60 == too_short.retry_after_seconds(910, 1_000, least)
    standing = watch(clock, 10, lambda second: 1_000)
    assert 0 == standing.per_second(1_000)
    assert 60 == standing.retry_after_seconds(1_000, 1_000, least)
    growing = watch(clock, 10, lambda second: 1_000 + round(second))
    assert 60 == growing.retry_after_seconds(1_010, 1_000, least)


def test_what_was_seen_long_ago_says_nothing(clock: Clock) -> None:
    backlog = watch(clock, 10, lambda second: 1_000 - round(50 * second))
    clock.now += 31
    assert backlog.per_second(500) is None
    backlog.saw(500, 0)
    assert backlog.per_second(500) is None


def test_only_the_last_half_minute_counts(clock: Clock) -> None:
    backlog = watch(
        clock, 100, lambda second: 10_000 - round(100 * second) if second < 60 else 4_000 - round(second - 60)
    )
    assert 1 == pytest.approx(backlog.per_second(3_960), rel=0.05)
    assert len(backlog._samples) <= 62


@pytest.mark.parametrize(("rate", "wait"), [(1_000, 1.0), (1, 60.0), (20, 10.0)])
def test_the_wait_is_from_one_second_to_a_minute(clock: Clock, rate: int, wait: float) -> None:
    backlog = watch(clock, 10, lambda second: 1_000 + rate * 10 - round(rate * second))
    assert wait == pytest.approx(backlog.retry_after_seconds(1_000, 1_000, least), rel=0.01)


def test_not_everybody_is_told_the_same_time(clock: Clock) -> None:
    backlog = watch(clock, 10, lambda second: 1_500 - round(50 * second))
    assert 5.0 == pytest.approx(backlog.retry_after_seconds(1_000, 1_000, most), rel=0.01)
    assert 75.0 == Backlog(clock).retry_after_seconds(1_000, 1_000, most)
    assert len({backlog.retry_after_seconds(1_000, 1_000) for _ in range(10)}) == 10
