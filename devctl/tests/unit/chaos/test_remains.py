"""What is in the broker and in the ledger, read from a real Redis."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import redis

from devctl.chaos import raw, remains
from devctl.chaos.ledger import Ledger

pytestmark = pytest.mark.integration
RUN, QUEUES = "r1", ("chaos", "orders")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


def new() -> tuple[str, bytes]:
    id_ = str(uuid.uuid4())
    return id_, raw.good(RUN, id_)


def test_an_empty_broker_has_nothing_left_to_do(client: redis.Redis) -> None:
    assert remains.depth(client, QUEUES).empty
    assert frozenset() == remains.ids(client, QUEUES)


def test_what_waits_is_claimed_or_due_is_counted_and_named(client: redis.Redis) -> None:
    (waiting, one), (urgent, two), (ours, three), (stocks, four), (due, five) = (new() for _ in range(5))
    client.lpush("chaos", one)
    client.lpush("orders\x06\x163", two)
    client.hset("unacked", "t1", b'[%b,"","chaos"]' % three)
    client.hset("unacked", "t2", json.dumps([json.loads(four), "", "chaos"]))
    client.zadd("celery-due", {b"chaos\n" + five: 1})

    assert remains.Depth(waiting=2, claimed=2, due=1) == remains.depth(client, QUEUES)
    assert {waiting, urgent, ours, stocks, due} == remains.ids(client, QUEUES)
    assert {one, two, three, five} <= set(remains.raws(client, QUEUES))


def test_a_dead_letter_is_known_by_its_bytes_and_by_its_id(client: redis.Redis) -> None:
    id_, message = new()
    client.xadd("celery-dead-chaos", {"raw": message, "about": json.dumps({"reason": "poison", "task_id": id_})})
    client.xadd("celery-dead-orders", {"raw": b"\xff", "about": json.dumps({"reason": "undecodable", "task_id": None})})

    found = remains.letters(client, QUEUES)

    assert [(message, "poison", id_), (b"\xff", "undecodable", "")] == [(x.raw, x.reason, x.task_id) for x in found]


def test_a_result_or_a_record_says_that_a_task_is_done(client: redis.Redis) -> None:
    client.set("celery-task-meta-a", json.dumps({"status": "SUCCESS", "result": None}))
    client.set("celery-task-meta-b", json.dumps({"status": "FAILURE", "result": None}))
    client.set("celery-once-c", "done:0123456789abcdef")
    client.set("celery-once-d", "queued:0123456789abcdef")

    assert {"a", "c"} == remains.finished(client, {"a", "b", "c", "d", "e"})
    assert {"a", "b", "c", "d"} == remains.stored(client, {"a", "b", "c", "d", "e"})


def test_orders_are_told_from_other_results(client: redis.Redis) -> None:
    client.set("celery-task-meta-a", json.dumps({"status": "SUCCESS", "result": {"order_id": "o-1"}}))
    client.set("celery-task-meta-b", json.dumps({"status": "PENDING", "result": {"order_id": "o-2"}}))
    client.set("celery-task-meta-c", json.dumps({"status": "SUCCESS", "result": {"start": 1}}))

    assert {"o-1"} == remains.orders(client, "order_id")


@pytest.mark.parametrize("message", [b"", b"\xff", b"[]", b'{"headers": 7}', b'{"headers": {}}', b"[" * 100_000])
def test_a_message_without_an_id_has_none(message: bytes) -> None:
    assert "" == remains.task_id(message) == remains.payload_id(message)


def test_half_a_surrogate_pair_is_no_key(client: redis.Redis) -> None:
    message = json.dumps({"headers": {"id": "\ud800"}}).encode()

    assert frozenset() == remains.finished(client, {remains.task_id(message)})


def test_the_ledgers_times_are_told_by_this_machines_clock(client: redis.Redis) -> None:
    for what, by in (("start", "a"), ("start", "b"), ("finish", "b")):
        client.xadd(f"chaos:{RUN}:ledger", {"id": "x", "what": what, "by": by, "at": "12.5"})
    ledger = Ledger(client, RUN, now=1_000.0)  # this machine believes that it is 1970

    run = ledger.runs()["x"]

    assert 3 == ledger.length()
    assert ["a", "b"] == [by for _, by in run.starts]
    assert all(abs(at - 1_000.0) < 5 for at, _ in (*run.starts, *run.finishes))
    assert {12.5} == {line.said for line in ledger.lines()}


def test_a_long_ledger_is_read_whole(client: redis.Redis) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(12_000):
        pipe.xadd(f"chaos:{RUN}:ledger", {"id": str(number), "what": "start", "by": "a", "at": "0"})
    pipe.execute()

    assert 12_000 == len(Ledger(client, RUN, 0.0).runs())
