from __future__ import annotations

import pytest

from devctl.broker.port import Running
from devctl.dash.collect import HISTORY_SECONDS, Collector
from devctl.dash.fake import QUEUE, TASK, FakeStack
from devctl.dash.model import QueueRow, RunningTask, Snapshot
from devctl.errors import DevctlError


@pytest.fixture
def shop() -> FakeStack:
    return FakeStack()


@pytest.fixture
def collector(shop: FakeStack) -> Collector:
    return Collector(shop.sources, shop.clock.now)


def after(seconds: float, shop: FakeStack, collector: Collector) -> Snapshot:
    shop.clock.sleep(seconds)
    return collector.look()


def images(snapshot: Snapshot) -> QueueRow:
    return next(one for one in snapshot.queues if one.name == QUEUE)


def test_a_snapshot_has_services_queues_and_workers(shop: FakeStack, collector: Collector) -> None:
    shop.send(1, 2, 3)

    found = after(1.0, shop, collector)

    assert ("shop", "fake", True, ()) == (found.stack, found.runtime, found.broker.reachable, found.problems)
    assert [("redis", "healthy", 1, False), ("worker", "healthy", 2, True), ("web", "healthy", 1, False)] == [
        (one.name, one.health, one.replicas, one.scalable) for one in found.services
    ]
    assert (3, 0, 1.0, 2) == (
        images(found).waiting,
        images(found).claimed,
        images(found).oldest_seconds,
        images(found).consumers,
    )
    assert [("worker@one", "worker"), ("worker@two", "worker")] == [(one.node, one.service) for one in found.workers]


def test_no_password_is_shown(collector: Collector) -> None:
    assert "secret" not in repr(collector.look())


def test_a_service_that_was_never_started_is_shown_as_stopped(shop: FakeStack, collector: Collector) -> None:
    shop.runtime.stop(["web"])

    (web,) = [one for one in collector.look().services if one.name == "web"]

    assert ("stopped", "", 0) == (web.state, web.health, web.replicas)


def test_the_history_of_a_queue_is_of_the_last_two_minutes(shop: FakeStack, collector: Collector) -> None:
    collector.look()
    for _ in range(round(HISTORY_SECONDS) + 30):
        shop.send(1)
        found = after(1.0, shop, collector)

    history = images(found).history

    assert 150 == history[-1][1]
    assert found.at - HISTORY_SECONDS == history[0][0]
    assert HISTORY_SECONDS + 1 == len(history)


def test_what_a_worker_runs_is_shown_with_its_seconds(shop: FakeStack, collector: Collector) -> None:
    shop.broker.workers[0].running = [Running(TASK, "id-1", shop.clock.now())]

    found = after(3.0, shop, collector)

    assert (RunningTask(TASK, "id-1", 3.0),) == found.workers[0].running


def test_workers_are_asked_every_five_seconds_at_most(
    shop: FakeStack, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = shop.broker.at_work
    monkeypatch.setattr(shop.broker, "at_work", lambda **how: asked.append(1) or real(**how))

    for _ in range(11):
        after(1.0, shop, collector)

    assert 3 == len(asked)


def test_dead_letters_are_failures_that_can_be_replayed(shop: FakeStack, collector: Collector) -> None:
    collector.look()
    first = shop.bury("id-1")
    shop.clock.sleep(1.0)
    second = shop.bury("id-2")

    found = after(1.0, shop, collector)

    assert [second, first] == [one.letter_id for one in found.failures]
    assert ("dead", TASK, "id-2", "permanent", "ValueError: no such image") == (
        found.failures[0].kind,
        found.failures[0].task,
        found.failures[0].task_id,
        found.failures[0].reason,
        found.failures[0].error,
    )
    shop.broker.drop([first, second])
    assert () == after(1.0, shop, collector).failures


def test_a_paused_queue_says_so(shop: FakeStack, collector: Collector) -> None:
    shop.broker.pause(QUEUE)

    assert images(collector.look()).paused


def test_a_broker_that_goes_away_leaves_the_rest_as_it_was_and_comes_back_by_itself(
    shop: FakeStack, collector: Collector
) -> None:
    shop.send(1, 2)
    collector.look()

    shop.broker.away = "the broker does not answer: Connection refused"
    away = after(1.0, shop, collector)
    still = after(1.0, shop, collector)
    shop.broker.away = ""
    back = after(1.0, shop, collector)

    assert (False, "the broker does not answer: Connection refused") == (away.broker.reachable, away.broker.problem)
    assert 2 == images(away).waiting == images(still).waiting
    assert ["worker@one", "worker@two"] == [one.node for one in still.workers]
    assert (True, "") == (back.broker.reachable, back.broker.problem)
    assert 3 == shop.connections  # one, one in vain, one that it is back with


def test_a_broker_that_was_never_there_is_waited_for(shop: FakeStack, collector: Collector) -> None:
    shop.broker.away = "redis publishes no port"

    assert ("redis publishes no port", ()) == (
        collector.look().broker.problem,
        collector.look().queues,
    )
    shop.broker.away = ""
    assert after(1.0, shop, collector).broker.reachable


def test_an_engine_that_goes_away_leaves_the_services_as_they_were(
    shop: FakeStack, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.look()

    def status() -> None:
        raise DevctlError("no container engine answers")

    with monkeypatch.context() as patch:
        patch.setattr(shop.runtime, "status", status)
        away = after(1.0, shop, collector)
    back = after(1.0, shop, collector)

    assert (("no container engine answers",), 3) == (away.problems, len(away.services))
    assert () == back.problems
