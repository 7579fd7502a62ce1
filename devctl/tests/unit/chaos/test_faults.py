"""Faults over a runtime in memory: what they do to it, and that only what happened is counted."""

from __future__ import annotations

import dataclasses
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP

import pytest
from devctl.tests.unit.chaos.lab import Lab, made

from devctl.chaos.faults import brokers, messages, network, processes
from devctl.chaos.field import Field
from devctl.chaos.observation import Run
from devctl.errors import DevctlError


@pytest.fixture
def lab() -> Lab:
    return made()


def test_workers_are_killed_in_turn_each_when_it_works_again(lab: Lab) -> None:
    processes.kill_workers(4)(lab.field)

    assert [("worker-1", SIGKILL), ("worker-2", SIGKILL)] * 2 == lab.hands.sent
    assert 4 == lab.field.fired == len(lab.field.strikes)


def test_a_kill_that_nobody_dies_of_is_not_counted() -> None:
    lab = made(deaf=True)
    processes.kill_workers(2)(lab.field)

    assert 0 == lab.field.fired
    assert 2 == len(lab.hands.sent)


def test_a_worker_that_does_not_come_back_is_a_problem_with_a_name(lab: Lab) -> None:
    lab.runtime.behaviours["worker"] = dataclasses.replace(lab.runtime._behaviour("worker"), healthy_after=None)

    with pytest.raises(DevctlError, match="worker works again: not within 45 s"):
        processes.kill_workers(2)(lab.field)


def test_three_of_four_workers_are_stopped_and_two_are_left_for_the_next(lab: Lab) -> None:
    processes.scale(lab.field)

    assert ["start worker=4", "start worker=1", "start worker=2"] == lab.runtime.calls
    assert 3 == lab.field.fired
    assert all(check.held for check in lab.field.checks)


def test_the_two_ways_to_stop_in_a_hurry(lab: Lab) -> None:
    processes.stop_hard(lab.field)

    assert [("worker-1", SIGINT), ("worker-1", SIGINT), ("worker-2", SIGQUIT)] == lab.hands.sent
    assert 2 == lab.field.fired


@pytest.mark.parametrize(("workers", "held"), [(("a", "b"), True), (("a", "a"), False)])
def test_a_frozen_worker_proves_something_only_if_others_took_over(
    workers: tuple[str, str], held: bool, lab: Lab
) -> None:
    lab.ledger.found = {"x": Run(tuple((1.0, by) for by in workers))}
    processes.freeze_worker(lab.field)

    assert [SIGSTOP, SIGCONT] == [number for _, number in lab.hands.sent]
    assert [True, held] == [check.held for check in lab.field.checks]
    assert 9.0 == lab.field.strikes[0].ended - lab.field.strikes[0].began


def test_redis_is_frozen_for_each_of_the_lengths(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Field, "answers", lambda field: lab.hands.sent[-1][1] == SIGCONT)
    brokers.freeze(10.0, 30.0)(lab.field)

    assert [10.0, 30.0] == [strike.ended - strike.began for strike in lab.field.strikes]
    assert all(check.held for check in lab.field.checks)


def test_what_was_lost_on_the_link_is_counted_and_the_link_is_good_again(lab: Lab) -> None:
    network.lose(lab.field)

    assert 14 == lab.field.fired
    assert [{"lose_requests": 0.01, "lose_replies": 0.01}, {}] == lab.link.told


def test_a_link_that_nothing_went_through_was_not_slow(lab: Lab) -> None:
    network.delay(lab.field)
    assert 7 == lab.field.fired
    assert {} == lab.link.told[-1]

    network.stall(lab.field)
    assert "stall" in lab.link.told


def test_bad_tasks_count_when_they_have_started(lab: Lab) -> None:
    lab.field.bad = lambda: {"a", "b"}
    lab.ledger.found = {"a": Run(((1.0, "w"),)), "c": Run(((1.0, "w"),))}
    messages.misbehaving(8.0, 30.0)(lab.field)
    assert 0 == lab.field.fired
    (look,) = lab.field.afterwards

    look()

    assert 1 == lab.field.fired


def test_workers_that_end_are_noticed(lab: Lab) -> None:
    with lab.field.workers_live():
        pass
    with lab.field.workers_live():
        lab.hands.signal(lab.field.workers()[0], SIGKILL)

    assert [True, False] == [check.held for check in lab.field.checks]
