"""How long a bench takes: before it begins, and while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from devctl.tests.unit.bench.lab import Lab

from devctl.bench import events
from devctl.bench.pace import AROUND_SECONDS, SECONDS_PER_TASK, Pace
from devctl.bench.plan import Plan, parse_task


def plan(workers: tuple[int, ...] = (1, 2), task: str = "noop", **fields: float) -> Plan:
    given = {"repeats": 3, "run_seconds": 2.0, "warmup_seconds": 1.0, **fields}
    return Plan(parse_task(task), workers, **given)  # type: ignore[arg-type]  # what a test wants to say


def run(tasks: int, seconds: float, backlogs: int = 1) -> float:
    """What so many tasks take that are worked at for so long."""
    return seconds + tasks * SECONDS_PER_TASK + backlogs * AROUND_SECONDS


def test_before_it_begins_it_is_warm_ups_and_runs_as_long_as_asked_with_what_is_around_them() -> None:
    first = run(100, 1.0, 2) + 3 * run(200, 2.0)
    second = run(200, 1.0, 2) + 3 * run(400, 2.0)
    assert first + second == pytest.approx(Pace(plan(task="wait:10")).left())


def test_more_tasks_than_a_run_may_have_are_not_counted() -> None:
    long, longer = plan((1,), run_seconds=60.0), plan((1,), run_seconds=600.0)
    assert Pace(long).left() == pytest.approx(Pace(longer).left())


def test_a_given_number_of_tasks_that_take_a_given_time_is_shared_by_all_that_run_them() -> None:
    given = plan((4,), "wait:10", tasks=1_000, warmup_seconds=0.0)
    assert 3 * run(1_000, 1_000 * 0.010 / 4) == pytest.approx(Pace(given).left())
    assert 3 * run(1_000, 1_000 * 0.010 / 8) == pytest.approx(Pace(given, slots=2).left())


def test_a_warm_up_says_how_long_the_runs_of_its_point_take() -> None:
    pace = Pace(plan((1,)))
    pace.warmed_up(1, 5_000, 1_000.0)
    assert 3 * run(5_000, 5.0) == pytest.approx(pace.left())


def test_a_run_says_how_long_the_others_of_its_point_take() -> None:
    pace = Pace(plan())
    for workers in (1, 2):
        pace.warmed_up(workers, 1_000, 1_000.0)
    pace.ran(1, 10.0)
    pace.ran(2, 1.0)
    pace.ran(2, 3.0)
    assert 2 * 10.0 + 1 * 2.0 == pytest.approx(pace.left())
    for workers in (1, 1, 2):
        pace.ran(workers, 1.0)
    assert 0.0 == pace.left()


def test_what_goes_on_now_has_a_part_of_its_time_behind_it_and_never_takes_from_what_comes_later() -> None:
    pace = Pace(plan((1,)))
    pace.warmed_up(1, 1_000, 500.0)
    whole = pace.left()
    assert whole - 1.0 == pytest.approx(pace.left(since=1.0))
    assert whole - run(1_000, 2.0) == pytest.approx(pace.left(since=60.0))


def test_a_bench_is_told_to_take_about_as_long_as_it_does(tmp_path: Path) -> None:
    lab = Lab(tmp_path, seconds_per_task=0.010)
    begun = lab.clock.now()
    lab.bench((1, 2), task="wait:10", run_seconds=10.0)
    took = lab.clock.now() - begun

    (planned,) = lab.of(events.Planned)
    assert took == pytest.approx(planned.seconds, rel=0.25)  # type: ignore[attr-defined]  # the first event of a bench


def test_what_is_left_only_falls_from_run_to_run_and_ends_at_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, seconds_per_task=0.002)
    lab.bench((1, 2), run_seconds=2.0)

    left = [event.left for event in lab.of(events.RunDone)]  # type: ignore[attr-defined]  # of() returns that kind
    assert sorted(left, reverse=True) == left
    assert 0.0 == left[-1]
