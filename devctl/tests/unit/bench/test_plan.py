from __future__ import annotations

import pytest

from devctl.bench.plan import MOST_TASKS, Plan, Task, first_guess, parse_task, parse_workers, size
from devctl.errors import UsageError

NOOP = Task("noop")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("noop", Task("noop")),
        ("cpu:5", Task("cpu", 5.0)),
        ("wait:0.5", Task("wait", 0.5)),
        ("process_order", Task("contract", contract="process_order")),
        ("tasks.process_order", Task("contract", contract="tasks.process_order")),
    ],
)
def test_a_task_is_read_and_shown_as_it_was_written(text: str, expected: Task) -> None:
    assert expected == parse_task(text)
    assert text == parse_task(text).label


@pytest.mark.parametrize(
    "text", ["", "cpu", "cpu:", "cpu:x", "cpu:0", "cpu:-1", "wait:nan", "wait:inf", "wait:60001", "noop:1", "sleep:10"]
)
def test_a_task_that_makes_no_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_task(text)

    assert refused.value.hint


def test_workers_are_read_in_order_and_once_each() -> None:
    assert (4,) == parse_workers("4")
    assert (1, 2, 4) == parse_workers("4, 1,2,1")


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "1.5", "x", "101", "²"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_workers(text)


@pytest.mark.parametrize(
    "fields", [{"repeats": 2}, {"tasks": 3}, {"run_seconds": 0.0}, {"warmup_seconds": -1.0}, {"timeout_seconds": 0.0}]
)
def test_a_plan_that_can_show_nothing_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Plan(NOOP, (1, 4), **fields)  # type: ignore[arg-type]


def test_rounds_go_up_and_down_in_turn() -> None:
    assert [(1, 2, 4), (4, 2, 1), (1, 2, 4)] == Plan(NOOP, (1, 2, 4), repeats=3).rounds()


def test_a_run_is_sized_by_the_rate_within_bounds() -> None:
    assert 2_500 == size(1_000, 2.5, 4)
    assert 40 == size(1, 2.5, 4)
    assert MOST_TASKS == size(10**7, 2.5, 4)


def test_the_first_guess_is_about_a_quarter_of_a_second_where_that_is_known() -> None:
    assert 25 * 4 == first_guess(Task("wait", 10), 4)
    assert 2 * 4 == first_guess(Task("cpu", 5_000), 4)
