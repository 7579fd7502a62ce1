"""What facts mean, on facts that are made up."""

from __future__ import annotations

import pytest
from devctl.tests.unit.chaos.made_up import order, ran, row, scenario, seen, task

from devctl.chaos.observation import Check, Observation, Run, Strike
from devctl.chaos.scenario import Expect
from devctl.chaos.verdict import judge, not_run, recovery


def test_all_done_once_each_is_held() -> None:
    found = row(seen(task("a"), task("b"), order("k", "c"), effects={"a": 1, "b": 1}))

    assert ("held", "", ()) == (found.verdict, found.why, found.reasons)
    assert (3, 3, 0, 0, 0, 0) == (found.accepted, found.done, found.dead, found.lost, found.doubled, found.waiting)
    assert {"202": 1} == dict(found.answers)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"done": frozenset("a")}, "1 lost"),
        ({"effects": {"a": 2}}, "1 doubled"),
        ({"strays": 2}, "2 doubled"),
        (
            {"done": frozenset("a"), "waiting": frozenset("b"), "drained_seconds": None, "patience": "60 s"},
            "1 not back after 60 s",
        ),
        ({"drained_seconds": None, "patience": "60 s"}, "the broker was not empty after 60 s"),
        ({"done": frozenset("a"), "dead": {"b": "permanent"}}, "1 valid tasks became dead letters (permanent)"),
        ({"fates": {"a": "dead"}}, "1 invalid tasks count as done"),
        ({"followups": frozenset("x")}, "1 follow-up messages are missing"),
        ({"checks": (Check("/ready answers 503", held=False),)}, "did not hold: /ready answers 503"),
    ],
)
def test_what_breaks_a_row(facts: dict[str, object], why: str) -> None:
    found = row(seen(task("a"), task("b"), **facts))

    assert ("broken", why) == (found.verdict, found.why)


def test_a_bad_message_that_is_a_dead_letter_is_as_it_should_be() -> None:
    found = row(seen(task("a"), task("b"), done=frozenset("a"), dead={"b": "poison"}, fates={"b": "dead"}))

    assert ("held", 2, 1, 1, 0) == (found.verdict, found.accepted, found.done, found.dead, found.lost)


def test_two_orders_for_one_key_are_a_doubled_one() -> None:
    assert "1 doubled" == row(seen(order("k", "a", "b"))).why


def test_what_was_never_confirmed_need_not_be_done_but_may_not_be_done_twice() -> None:
    assert "held" == row(seen(task("a", accepted_at=None))).verdict
    assert 1 == row(seen(task("a", accepted_at=None))).unconfirmed
    assert "1 doubled" == row(seen(task("a", accepted_at=None), effects={"a": 2})).why


def test_a_fault_that_did_not_happen_proves_nothing() -> None:
    found = row(seen(task("a"), fired=5), expect=Expect(fired=6))

    assert ("not run", "the fault happened 5 of 6 times") == (found.verdict, found.why)


def test_what_is_broken_is_broken_however_seldom_the_fault_happened() -> None:
    found = row(seen(task("a"), fired=0, done=frozenset()), expect=Expect(fired=6))

    assert "broken" == found.verdict


@pytest.mark.parametrize(
    ("expect", "why"),
    [
        (Expect(starts=2), "a task was started 3 times, at most 2 are allowed"),
        (Expect(repeated=0), "1 ran more than once"),
        (Expect(back_seconds=2), "back only after 7.0 s, 2 s are allowed"),
        (Expect(answers=frozenset({"202"})), "unexpected HTTP answers: 1 × 500"),
        (Expect(answer_seconds=1), "the slowest HTTP answer took 2.0 s, 1 s are allowed"),
        (Expect(publish_seconds=1), "the slowest publish took 3.0 s, 1 s are allowed"),
        (Expect(due_seconds=4), "1 started before they were due"),
    ],
)
def test_a_limit_that_is_not_kept(expect: Expect, why: str) -> None:
    runs = {"a": Run(((11.0, "w1"), (12.0, "w2"), (19.0, "w2")), ((21.0, "w2"),))}
    facts = seen(
        task("a", slowest=3.0),
        order("k", "o", answers=("500", "202"), slowest=2.0),
        runs=runs,
        strikes=(Strike(11.5, 12.0),),
    )

    assert why == row(facts, expect=expect).why
    assert "held" == row(facts).verdict


def test_a_task_that_is_meant_to_fail_once_has_a_start_for_free() -> None:
    runs = {"a": Run(((11.0, "w"), (12.0, "w")), ((12.1, "w"),))}

    assert "held" == row(seen(task("a"), runs=runs, retried=frozenset("a")), expect=Expect(repeated=0)).verdict
    assert 1 == row(seen(task("a"), runs=runs)).repeated


def test_a_task_that_starts_when_it_is_due_is_not_early() -> None:
    assert "held" == row(seen(task("a"), runs={"a": ran(14.0, 14.1)}), expect=Expect(due_seconds=4)).verdict


STRIKE = Strike(20.0, 21.0)


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        (ran(19.0, 19.5), None),  # over before
        (ran(19.9, 23.0), 2.0),  # it ran through
        (Run(((19.9, "x"), (24.0, "y")), ((24.5, "y"),)), 3.0),  # interrupted, and begun again elsewhere
        (Run(((19.9, "x"),)), None),  # never again: that is lost, not late
        (ran(25.0, 26.0), 4.0),  # it waited since before
    ],
)
def test_recovery_is_the_time_until_what_was_touched_goes_on(run: Run, seconds: float | None) -> None:
    assert seconds == recovery(seen(task("a", accepted_at=18.0), strikes=(STRIKE,), runs={"a": run}))


def test_what_was_accepted_later_did_not_wait_for_the_fault() -> None:
    assert recovery(seen(task("a", accepted_at=22.0), strikes=(STRIKE,), runs={"a": ran(25.0, 26.0)})) is None


def test_what_waits_in_a_backlog_does_not_wait_for_the_fault() -> None:
    found = seen(task("a", accepted_at=1.0), strikes=(STRIKE,), runs={"a": ran(25.0, 26.0)}, backlog=True)

    assert recovery(found) is None


def test_a_task_that_is_hit_twice_has_two_recoveries() -> None:
    runs = {"a": Run(((19.9, "x"), (24.0, "y"), (30.0, "x")), ((30.1, "x"),))}
    found = seen(task("a", accepted_at=19.8), strikes=(Strike(20.0, 20.0), Strike(24.5, 24.5)), runs=runs)

    assert 5.5 == recovery(found)


def test_the_api_is_back_with_its_first_order() -> None:
    assert 3.0 == recovery(Observation(1, 1, (order("k", "o"),), strikes=(Strike(5.0, 7.0),)))


def test_parts_are_added_and_the_worst_time_counts() -> None:
    parts = [
        seen(task("a"), fired=2, drained_seconds=0.5),
        seen(task("b"), fired=3, drained_seconds=4.0, done=frozenset()),
    ]
    found = judge(scenario(), "quick", [(Expect(), one) for one in parts])

    assert (5, 2, 1, 1, 4.0) == (found.fired, found.accepted, found.done, found.lost, found.drained_seconds)
    assert "broken" == found.verdict


def test_a_row_that_is_not_run_says_why() -> None:
    found = not_run(scenario(), "quick", "needs root")

    assert ("not run", "needs root", "SIGKILL worker") == (found.verdict, found.why, found.title)
