from __future__ import annotations

import pytest

from devctl.bench.counting.port import Count
from devctl.bench.observation import Audit, audit, shares, steady
from devctl.broker.port import Execution


def run(*entries: tuple[str, float, str]) -> list[Execution]:
    return [Execution(task, finished - 0.5, finished, worker) for task, finished, worker in entries]


def test_the_audit_of_a_good_run_is_clean() -> None:
    found = audit(["a", "b"], Count(run(("b", 1, "w"), ("a", 2, "w"))))

    assert Audit(published=2, executed=2, lost=0, duplicated=0) == found
    assert found.clean


def test_one_lost_and_one_doubled_do_not_make_up_for_each_other() -> None:
    found = audit(["a", "b", "c"], Count(run(("a", 1, "w"), ("a", 2, "v"), ("b", 3, "w"))))

    assert Audit(published=3, executed=2, lost=1, duplicated=1) == found
    assert not found.clean


def test_what_nobody_published_is_not_counted_as_done_but_told() -> None:
    found = audit(["a"], Count(run(("a", 1, "w"), ("x", 2, "w"))))

    assert Audit(published=1, executed=1, lost=0, duplicated=0, unknown=1) == found
    assert not found.clean


def test_what_a_result_alone_says_is_done_and_what_nothing_says_is_neither_done_nor_lost() -> None:
    count = Count(run(("a", 1, "w")), frozenset("a"), unseen=frozenset("b"), unknown=frozenset("c"))

    found = audit(["a", "b", "c"], count)

    assert Audit(published=3, executed=2, lost=0, duplicated=0, failed=1, unproved=1) == found
    assert not found.clean


def test_a_task_that_was_seen_to_start_twice_is_doubled_though_it_ended_once() -> None:
    assert 1 == audit(["a", "b"], Count(run(("a", 1, "w"), ("b", 2, "w")), started_again=frozenset("a"))).duplicated


def test_audits_add_up() -> None:
    assert Audit(3, 2, 1, 1, 1, 1, 1) == Audit(1, 1, 0, 1, 0, 1, 0) + Audit(2, 1, 1, 0, 1, 0, 1)


def test_one_worker_is_measured_from_its_first_to_its_last_completion() -> None:
    window = steady(run(("a", 1, "w"), ("b", 2, "w"), ("c", 3, "w")))

    assert (1, 3, 2, 1.0) == (window.start, window.end, window.completions, window.rate)


def test_only_the_time_when_all_workers_are_at_work_counts() -> None:
    early = [(f"e{n}", float(n), "first") for n in range(1, 11)]  # one a second, from 1 to 10
    late = [(f"l{n}", 4.5 + n, "second") for n in range(1, 11)]  # one a second, from 5.5 to 14.5

    window = steady(run(*early, *late))

    assert (5.5, 10.0) == (window.start, window.end)
    assert 9 == window.completions  # 6…10 of the first, 6.5…9.5 of the second
    assert (4, 5) == window.halves


def test_a_task_that_ran_twice_completed_once() -> None:
    window = steady(run(("a", 1, "w"), ("b", 2, "w"), ("c", 3, "w"), ("b", 4, "w")))

    assert (3, 2) == (window.end, window.completions)


def test_workers_that_took_turns_have_no_steady_stretch() -> None:
    assert 0.0 == steady(run(("a", 1, "v"), ("b", 2, "v"), ("c", 3, "w"), ("d", 4, "w"))).rate
    assert 0.0 == steady(run(("a", 1, "v"))).rate
    assert 0.0 == steady([]).rate


def test_a_stretch_of_a_moment_is_too_short_for_a_rate() -> None:
    assert steady(run(("a", 1, "w"), ("b", 1.001, "w"))).too_short
    assert steady(run(("a", 1, "v"), ("b", 2, "w"))).too_short
    assert not steady(run(("a", 1, "w"), ("b", 1.1, "w"))).too_short


def test_the_rate_of_even_workers_is_the_sum_of_theirs() -> None:
    entries = [(f"{w}-{n}", 0.1 * w + n * 0.5, f"w{w}") for w in range(4) for n in range(1, 101)]

    assert pytest.approx(8.0, rel=0.02) == steady(run(*entries)).rate


def test_shares_count_executions() -> None:
    assert {"v": 1, "w": 2} == shares(run(("a", 1, "v"), ("b", 2, "w"), ("b", 3, "w")))
