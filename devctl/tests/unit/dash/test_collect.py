from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from celeriac.life.record import Kind, Record
from devctl.broker.port import Message, Running
from devctl.dash.collect import HISTORY_SECONDS, MOST_FAILURES, Collector
from devctl.dash.fake import QUEUE, TASK, FakeStack
from devctl.dash.model import QueueRow, RunningTask, Snapshot
from devctl.errors import DevctlError


@pytest.fixture
def shop() -> FakeStack:
    return FakeStack()


@pytest.fixture
def collector(shop: FakeStack) -> Collector:
    return Collector(shop.sources)


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


def happened(shop: FakeStack, kind: Kind, **what: Any) -> None:
    shop.broker.life.records.append(Record(shop.clock.now(), kind, task=TASK, **what))


def test_rates_are_those_of_the_last_ten_seconds(shop: FakeStack, collector: Collector) -> None:
    for n in range(20):
        happened(shop, Kind.PUBLISHED, task_id=f"id-{n}", queue=QUEUE)
        happened(shop, Kind.CLAIMED, tag=f"tag-{n}", queue=QUEUE)
    for n in range(10):
        happened(shop, Kind.COMMITTED, task_id=f"id-{n}", tag=f"tag-{n}")

    now, later = images(after(1.0, shop, collector)), images(after(10.0, shop, collector))

    assert (2.0, 1.0) == (now.rate_in, now.rate_out)
    assert (0.0, 0.0) == (later.rate_in, later.rate_out)


def test_what_a_publisher_without_records_sends_is_known_by_the_depth(shop: FakeStack, collector: Collector) -> None:
    collector.look()
    shop.send(*range(30))
    for n in range(10):
        assert shop.broker.claim([QUEUE])
        happened(shop, Kind.CLAIMED, tag=f"tag-{n}", queue=QUEUE)
        shop.broker.acknowledge(next(one for one in shop.broker.published if one.task_id == f"id-{n}"))
        happened(shop, Kind.COMMITTED, task_id=f"id-{n}", tag=f"tag-{n}")

    found = images(after(1.0, shop, collector))

    assert (20, 3.0, 1.0) == (found.waiting, found.rate_in, found.rate_out)


def test_a_queue_is_known_as_soon_as_something_is_sent_to_it_and_any_other_within_half_a_minute(
    shop: FakeStack, collector: Collector
) -> None:
    collector.look()
    shop.broker.publish([Message(TASK, queue, f"id-{queue}") for queue in ("told", "silent")])
    happened(shop, Kind.PUBLISHED, task_id="id-told", queue="told")

    soon, later = after(1.0, shop, collector), after(30.0, shop, collector)

    assert [QUEUE, "told"] == [one.name for one in soon.queues]
    assert {QUEUE, "told", "silent"} == {one.name for one in later.queues}


def test_a_queue_that_nobody_uses_any_more_is_not_shown(shop: FakeStack, collector: Collector) -> None:
    shop.broker.publish([Message(TASK, "once", "id-once")])
    first = [one.name for one in collector.look().queues]
    shop.broker.claim(["once"])
    shop.broker.acknowledge(shop.broker.published[-1])

    assert ([QUEUE, "once"], [QUEUE]) == (first, [one.name for one in after(1.0, shop, collector).queues])


def test_without_records_no_rate_is_told(collector: Collector) -> None:
    assert (None, None) == (images(collector.look()).rate_in, images(collector.look()).rate_out)


def test_a_task_is_shown_from_its_start_to_its_end_with_its_progress(shop: FakeStack, collector: Collector) -> None:
    collector.look()
    began = shop.clock.now()
    run = {"task_id": "id-1", "tag": "tag-1", "who": "worker@two"}
    happened(shop, Kind.STARTED, since=began, **run)
    happened(shop, Kind.PROGRESS, progress=0.4, note="resized 4 of 10", **run)

    assert (RunningTask(TASK, "id-1", 2.0, 0.4, "resized 4 of 10"),) == after(2.0, shop, collector).workers[1].running
    happened(shop, Kind.COMMITTED, **run)
    assert () == after(1.0, shop, collector).workers[1].running


def test_a_task_whose_end_was_told_is_not_shown_until_the_worker_is_asked_again(
    shop: FakeStack, collector: Collector
) -> None:
    shop.broker.workers[0].running = [Running(TASK, "id-1", shop.clock.now())]
    assert 1 == len(collector.look().workers[0].running)

    happened(shop, Kind.COMMITTED, task_id="id-1", who="worker@one")

    assert () == after(1.0, shop, collector).workers[0].running


def test_a_task_whose_end_nobody_told_goes_when_its_worker_says_so(shop: FakeStack, collector: Collector) -> None:
    happened(shop, Kind.STARTED, task_id="id-1", tag="tag-1", who="worker@one")
    assert 1 == len(collector.look().workers[0].running)

    assert () == after(6.0, shop, collector).workers[0].running


def test_of_stock_workers_is_told_what_they_say_and_no_rate(shop: FakeStack, collector: Collector) -> None:
    shop.broker.celeriac = False
    shop.broker.workers[0].running = [Running(TASK, "id-1", shop.clock.now())]
    happened(shop, Kind.COMMITTED, task_id="id-2", queue=QUEUE)

    found = after(1.0, shop, collector)

    assert ((None, None), ()) == ((images(found).rate_in, images(found).rate_out), found.failures)
    assert (RunningTask(TASK, "id-1", 1.0),) == found.workers[0].running


def test_retries_and_failures_are_shown_and_a_dead_letter_once(shop: FakeStack, collector: Collector) -> None:
    happened(shop, Kind.CLAIMED, tag="tag-1", queue=QUEUE)
    happened(shop, Kind.RETRIED, task_id="id-1", tag="tag-1", error="TimeoutError: slow disk")
    shop.clock.sleep(2.0)
    letter = shop.bury("id-1")
    happened(shop, Kind.DEAD, task_id="id-1", queue=QUEUE, error="ValueError: no such image", reason="permanent")

    found = after(1.0, shop, collector).failures

    assert [("dead", letter, QUEUE), ("retried", "", QUEUE)] == [(one.kind, one.letter_id, one.queue) for one in found]
    shop.broker.drop([letter])
    dropped = after(1.0, shop, collector).failures
    assert [("dead", ""), ("retried", "")] == [(one.kind, one.letter_id) for one in dropped]


def test_a_dead_letter_is_known_by_its_task_where_its_claim_was_not_read(shop: FakeStack, collector: Collector) -> None:
    letter = shop.bury("id-1")
    happened(shop, Kind.DEAD, task_id="id-1", tag="tag-1")

    assert [("dead", letter, QUEUE)] == [(one.kind, one.letter_id, one.queue) for one in collector.look().failures]


def test_of_two_ends_within_a_second_the_one_with_the_letter_has_it(shop: FakeStack, collector: Collector) -> None:
    happened(shop, Kind.DEAD, task_id="id-1", queue=QUEUE)
    shop.clock.sleep(0.5)
    letter = shop.bury("id-1")
    happened(shop, Kind.DEAD, task_id="id-1", queue=QUEUE)

    found = collector.look().failures

    assert [letter, ""] == [one.letter_id for one in found]
    assert 0.5 == found[0].at - found[1].at


def test_every_failure_that_is_shown_has_its_letter(shop: FakeStack, collector: Collector) -> None:
    for number in range(MOST_FAILURES + 10):
        shop.bury(f"id-{number}")
        happened(shop, Kind.DEAD, task_id=f"id-{number}", queue=QUEUE)
        shop.clock.sleep(0.1)

    found = collector.look().failures

    assert MOST_FAILURES == len(found)
    assert all(one.letter_id for one in found)


def test_a_new_dead_letter_is_read_at_once_while_a_slow_redis_is_asked_seldom_for_depths(
    shop: FakeStack, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=10.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    collector.look()
    letter = shop.bury("id-1")
    happened(shop, Kind.DEAD, task_id="id-1", queue=QUEUE)

    found = after(1.0, shop, collector)

    assert 0 == images(found).dead
    assert [letter] == [one.letter_id for one in found.failures]


def test_records_are_read_once_also_where_more_come_in_than_can_be_read(
    shop: FakeStack, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.look()
    read = []
    monkeypatch.setattr(shop.broker.life, "newest", lambda: "1000000-0")
    monkeypatch.setattr(
        shop.broker.life,
        "follow",
        lambda after: read.append(after) or (f"{int(after.partition('-')[0]) + 300_000}-0", []),
    )

    found = [after(1.0, shop, collector) for _ in range(2)]

    assert ["0", "300000-0", "600000-0", "900000-0", "1200000-0", "1500000-0", "1800000-0"] == read[:7]
    assert {(None, None)} == {(images(one).rate_in, images(one).rate_out) for one in found}


def test_more_records_than_can_be_read_are_left_out(
    shop: FakeStack, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.look()
    read = []
    monkeypatch.setattr(shop.broker.life, "newest", lambda: "1000000-0")
    monkeypatch.setattr(
        shop.broker.life, "follow", lambda after: read.append(after) or (f"{int(after.partition('-')[0]) + 1}-0", [])
    )

    after(1.0, shop, collector)
    after(1.0, shop, collector)

    assert "0" == read[0]
    assert ["990000-0", "990001-0"] == read[5:7]


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
