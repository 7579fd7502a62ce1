"""When it may say that it is ready."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from celeriac.worker import readiness
from celeriac.worker.readiness import NotReady, Readiness


class Broker:
    def __init__(self):
        self.asked = 0
        self.problem = None
        self.bound = True

    def ping(self):
        self.asked += 1
        if self.problem:
            raise self.problem


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(readiness, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def ready(broker, clock):
    return Readiness(broker.ping, lambda: broker.bound, ["notifications"])


def test_it_is_ready_when_the_broker_answers_and_it_is_bound(ready):
    ready.check()


@pytest.mark.parametrize(
    ("problem", "why"), [(TimeoutError(), "does not answer"), (ConnectionError(), "cannot be reached")]
)
def test_without_a_broker_it_says_why_not(ready, broker, problem, why):
    broker.problem = problem

    with pytest.raises(NotReady, match=why):
        ready.check()


def test_before_it_is_bound_it_says_to_what(ready, broker):
    broker.bound = False

    with pytest.raises(NotReady, match="not bound to notifications"):
        ready.check()


def test_an_answer_is_remembered_for_a_moment_only(ready, broker, clock):
    ready.check()
    broker.bound = False
    ready.check()
    clock[0] += 1

    with pytest.raises(NotReady):
        ready.check()


def test_a_crowd_that_asks_costs_one_question(ready, broker):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: ready.check(), range(100)))

    assert 1 == broker.asked


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # what a prefork pool does, too
def test_no_child_is_forked_in_the_middle_of_a_look(monkeypatch):
    hooks = {}
    monkeypatch.setattr(os, "register_at_fork", hooks.update)
    looking, go_on, seen = Event(), Event(), []

    def ping():
        looking.set()
        go_on.wait(5)
        seen.append("looked")

    ready = Readiness(ping, lambda: True, ["notifications"])
    ready.stay_out_of_forks()
    with ThreadPoolExecutor() as pool:
        pool.submit(ready.check)
        looking.wait(5)
        forking = pool.submit(lambda: (hooks["before"](), seen.append("forks"), hooks["after_in_parent"]()))
        assert not forking.done()
        go_on.set()
        forking.result(5)
        ready.check()

    assert ["looked", "forks"] == seen
    hooks["before"]()
    hooks["after_in_child"]()
    ready.check()
