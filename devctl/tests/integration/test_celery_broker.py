"""What only the real broker adapter has to show: stock Celery's layout, and no waiting for a Redis that is away."""

from __future__ import annotations

import base64
import json
import select
import socket
import socketserver
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection, Queue

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.dead_letter.letters import Letter
from celeriac.message.frame import frame
from devctl.broker import server
from devctl.broker.ours import CeleriacBroker
from devctl.broker.port import Message
from devctl.broker.stock import StockBroker
from devctl.errors import DevctlError
from shop.schemas import OrderPayload
from shop.tasks import process_order

pytestmark = pytest.mark.integration

ARGUMENTS = [
    (),
    ({"flat": 1, "text": 'it\'s "quoted" \\ and ünïcode\n'},),
    ({"order": {"items": [{"product_id": "book", "tags": ["a", {"deep": [1]}]}]}, "none": None, "yes": True},),
    (["x" * 3_000], 1.5),
]


def _stock_message(url: str, message: Message) -> dict[str, Any]:
    app = Celery("stock", broker=url, set_as_current=False)
    app.send_task(
        message.task,
        args=list(message.args),
        kwargs=dict(message.kwargs),
        queue=message.queue,
        task_id=message.task_id,
        ignore_result=message.ignore_result,
        headers=dict(message.headers),
    )
    return _pop(url, message.queue)


def _pop(url: str, queue: str) -> dict[str, Any]:
    with redis.Redis.from_url(url) as client:
        frame: dict[str, Any] = json.loads(client.rpop(queue))  # type: ignore[arg-type]
        return frame


def _comparable(frame: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The order of all keys, and all but what differs between any two messages."""
    body = json.loads(base64.b64decode(frame["body"]))
    shape = json.dumps({**frame, "body": body}, default=str)
    for part, key in (("properties", "delivery_tag"), ("properties", "reply_to"), ("headers", "published_at")):
        value = frame[part].pop(key)
        shape = shape.replace(json.dumps(value), f"<{key}>")
    return shape, {**frame, "body": body}


@pytest.mark.parametrize("args", ARGUMENTS, ids=["none", "flat", "deep", "long"])
@pytest.mark.parametrize("ignore_result", [False, True])
def test_a_message_is_the_one_that_stock_celery_would_push(
    redis_url: str, args: tuple[Any, ...], ignore_result: bool
) -> None:
    headers = {"published_at": time.time(), "x_correlation_id": "c-1"}
    message = Message("tasks.any", "shelf", str(uuid.uuid4()), args, {"unit": "s"}, headers, ignore_result)

    CeleriacBroker(redis_url).publish([message])
    ours = _comparable(_pop(redis_url, "shelf"))
    stock_shape, stock = _comparable(_stock_message(redis_url, message))

    assert stock == ours[1]
    # The header of ours that every publisher of this stack sends is the only key that stock puts elsewhere.
    assert sorted(stock_shape) == sorted(ours[0])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8))  # fmt: skip
def test_any_argument_is_shown_to_monitors_as_stock_celery_shows_it(redis_server, value: object) -> None:  # type: ignore[no-untyped-def]
    message = Message("tasks.any", "shown", str(uuid.uuid4()), (value,), headers={"published_at": 1.0})

    CeleriacBroker(redis_server.url).publish([message])
    ours = _pop(redis_server.url, "shown")

    assert _stock_message(redis_server.url, message)["headers"]["argsrepr"] == ours["headers"]["argsrepr"]


def test_a_queue_is_bound_as_stock_celery_binds_it(redis_url: str, redis_server) -> None:  # type: ignore[no-untyped-def]
    def bindings() -> dict[bytes, set[bytes]]:
        with redis.Redis.from_url(redis_url) as client:
            return {key: set(client.smembers(key)) for key in client.keys("_kombu.*")}

    message = Message("tasks.any", "bound", str(uuid.uuid4()))
    CeleriacBroker(redis_url).publish([message])
    ours = bindings()
    redis_server.flush()
    _stock_message(redis_url, message)

    assert bindings() == ours


def test_messages_keep_their_order_across_chunks_and_queues(redis_url: str) -> None:
    messages = [Message("t", "first" if n < 1_200 else "second", f"id-{n}", (n,)) for n in range(2_500)]

    CeleriacBroker(redis_url).publish(messages)

    with redis.Redis.from_url(redis_url) as client:
        frames = [*reversed(client.lrange("first", 0, -1)), *reversed(client.lrange("second", 0, -1))]
    assert [one.task_id for one in messages] == [json.loads(frame)["headers"]["id"] for frame in frames]


def test_priorities_of_stock_publishers_are_counted(redis_url: str) -> None:
    app = Celery("stock", broker=redis_url, set_as_current=False)
    for priority in (0, 3, 6, 9, 9):
        app.send_task("tasks.any", queue="ranked", priority=priority)

    (found,) = [one for one in CeleriacBroker(redis_url).queues(["ranked"]) if one.name == "ranked"]

    assert 5 == found.waiting


def test_a_claim_through_a_named_exchange_counts_for_its_queue(redis_url: str) -> None:
    with Connection(redis_url) as connection:
        queue = Queue("parcels", exchange=None, routing_key="parcels")
        named = Queue("letters", exchange="post", routing_key="flat")
        producer = connection.Producer()
        producer.publish({}, routing_key="parcels", declare=[queue])
        producer.publish({}, exchange="post", routing_key="flat", declare=[named])
        channel = connection.channel()
        taken = [channel.basic_get("parcels"), channel.basic_get("letters")]

        found = {one.name: (one.waiting, one.claimed) for one in CeleriacBroker(redis_url).queues(["parcels"])}

        for message in taken:
            message.ack()
    assert {"parcels": (0, 1), "letters": (0, 1)} == found


def test_many_claims_are_counted_in_steps(redis_url: str) -> None:
    entry = json.dumps([{"body": "x" * 700}, "", "busy"])
    with redis.Redis.from_url(redis_url) as client:
        for start in range(0, 5_000, 1_000):
            client.hset("unacked", mapping={f"tag-{start + n}": entry for n in range(1_000)})

    assert [5_000] == [one.claimed for one in CeleriacBroker(redis_url).queues(["busy"])]


def test_many_delayed_messages_are_counted_in_steps(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for start in range(0, 5_000, 1_000):
            client.zadd("celery-due", {f"later\x06\x16{n % 2 * 3}\n{n}\n{n}": n for n in range(start, start + 1_000)})
        client.zadd("celery-due", {"nobody could have written this": 1})

    assert [("later", 5_000)] == [(one.name, one.delayed) for one in CeleriacBroker(redis_url).queues([])]


def test_many_lost_claims_go_back_in_steps_and_those_with_a_lease_stay(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        now = client.time()[0]
        for n in range(1_201):
            client.hset("unacked", f"tag-{n}", f'[{{"n": {n}, "priority": {n % 10}}},"","busy"]')
            client.zadd("celery-leases", {f"tag-{n}": (now - 11) * 1_000_000})
        client.hset("unacked", "held", '[{},"","busy"]')
        client.zadd("celery-leases", {"held": (now - 5) * 1_000_000})
    broker = CeleriacBroker(redis_url)

    assert 1_201 == broker.give_back()
    assert [(1_201, 1)] == [(one.waiting, one.claimed) for one in broker.queues(["busy"])]


def test_a_queue_with_as_many_dead_letters_as_it_may_have_is_stopped(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(3):
            client.xadd("celery-dead-busy", {"raw": "{}", "about": "{}"})

    found = [CeleriacBroker(redis_url, dead_bound=bound).queues(["busy"])[0] for bound in (4, 3, 2)]

    assert [(3, False), (3, True), (3, True)] == [(one.dead, one.stopped) for one in found]


def test_without_workers_nobody_waits_for_their_answers(redis_url: str) -> None:
    started = time.monotonic()

    assert [] == CeleriacBroker(redis_url).consumers(timeout=30)

    assert time.monotonic() - started < 2


def test_a_question_leaves_nothing_behind(redis_url: str) -> None:
    CeleriacBroker(redis_url).consumers()

    with redis.Redis.from_url(redis_url) as client:
        assert [] == client.keys("*")


RAW = frame("tasks.any", "q", [1], task_id="1")
LETTER = Letter("q/1-0", "q", "permanent", 0.0, len(RAW), raw=RAW)
CALLS: dict[str, Callable[[CeleriacBroker], object]] = {
    "info": lambda broker: broker.info(),
    "publish": lambda broker: broker.publish([Message("t", "q", "1"), Message("t", "q", "2")]),
    "publish_once": lambda broker: broker.publish_once([Message("t", "q", "1"), Message("t", "q", "2")]),
    "queues": lambda broker: broker.queues(["q"]),
    "consumers": lambda broker: broker.consumers(),
    "consume": lambda broker: broker.consume("q", ["node"]),
    "stop_consuming": lambda broker: broker.stop_consuming("q"),
    "results": lambda broker: broker.results(["1"]),
    "executed": lambda broker: broker.executed("run"),
    "ledger": lambda broker: broker.ledger("run"),
    "letters": lambda broker: list(broker.letters()),
    "letter": lambda broker: broker.letter("q/1-0"),
    "replay": lambda broker: broker.replay(LETTER),
    "drop": lambda broker: broker.drop(["q/1-0"]),
    "give_back": lambda broker: broker.give_back(),
    "forget": lambda broker: broker.forget("run", ["q"], ["1"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_call_waits_for_a_redis_that_is_gone(redis_to_break, call: Callable[[CeleriacBroker], object]) -> None:  # type: ignore[no-untyped-def]  # conftest's fixture
    broker = CeleriacBroker(redis_to_break.url, service="redis")
    redis_to_break.stop()
    started = time.monotonic()

    with pytest.raises(DevctlError) as caught:
        call(broker)

    assert time.monotonic() - started < 3
    expected = f"the broker at 127.0.0.1:{redis_to_break.port} does not answer: Connection refused"
    assert (expected, "start it: devctl up redis") == (caught.value.problem, caught.value.hint)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_call_waits_for_a_redis_that_is_paused(
    redis_to_break,  # type: ignore[no-untyped-def]
    call: Callable[[CeleriacBroker], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert server.TIMEOUT_SECONDS <= 2
    monkeypatch.setattr(server, "TIMEOUT_SECONDS", 0.3)
    broker = CeleriacBroker(redis_to_break.url)
    broker.publish([Message("t", "q", "0")])  # so that there is an open connection, too
    redis_to_break.pause()
    started = time.monotonic()

    with pytest.raises(DevctlError) as caught:
        call(broker)

    assert time.monotonic() - started < 1.5
    assert "accepts connections but does not answer within 0.3 s" in caught.value.problem


def test_a_publish_that_fails_midway_says_how_much_was_accepted(redis_to_break) -> None:  # type: ignore[no-untyped-def]
    broker = CeleriacBroker(redis_to_break.url)

    class Breaking(list[Message]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for n, one in enumerate(super().__iter__()):
                if n == 1_200:
                    redis_to_break.stop()
                yield one

    messages = Breaking(Message("t", "q", str(n)) for n in range(2_000))
    broker.publish([Message("t", "q", "first")])
    with pytest.raises(DevctlError) as caught:
        broker._send(messages)

    assert "1,000 of 2,000 messages were accepted" in caught.value.details[0]
    assert "500 more may have been: no answer came" in caught.value.details[1]


def test_once_published_it_is_the_message_that_a_contract_publishes(redis_url: str) -> None:
    contract = process_order.bind(make_app("ours", CelerySettings(broker_url=redis_url)))
    payload = OrderPayload.model_validate(
        {"source_service": "x", "customer_id": "c", "items": [{"product_id": "p", "quantity": 1}], "total_amount": "1"}
    )
    task_id, broker = str(payload.task_id), CeleriacBroker(redis_url)
    message = Message("tasks.process_order", "orders", task_id, (payload.model_dump(mode="json"),))

    assert frozenset() == broker.publish_once([message]).repeated
    contract.delay(payload)  # knows it by its fingerprint
    assert frozenset([task_id]) == broker.publish_once([message]).repeated

    frame = _pop(redis_url, "orders")
    with redis.Redis.from_url(redis_url) as client:
        assert f"queued:{frame['headers']['fingerprint']}".encode() == client.get(f"celery-once-{task_id}")
        assert not client.exists("orders")
    assert frozenset([task_id]) == broker.publish_once([message]).missing


@pytest.mark.parametrize(("length", "written"), [(1_000, [("published", "devctl", "t", "q", "a", "c1")]), (0, [])])
def test_what_devctl_publishes_once_is_written_down_as_the_services_write_it(
    redis_url: str, length: int, written: list[tuple[str, ...]]
) -> None:
    broker = CeleriacBroker(redis_url, life_length=length)
    broker.publish_once([Message("t", "q", "a", headers={"x_correlation_id": "c1"})])
    found = broker.life.find(["a"])
    assert written == [(one.kind, one.who, one.task, one.queue, one.task_id, one.correlation_id) for one in found]


def test_a_full_queue_is_named_with_what_was_accepted(redis_url: str) -> None:
    broker = CeleriacBroker(redis_url, queue_bound=700)

    with pytest.raises(DevctlError) as caught:
        broker.publish_once([Message("t", "q", str(n)) for n in range(1_200)])

    assert "not published: queue q is full: 700 messages wait, 700 may" == caught.value.problem
    assert "CELERY_QUEUE_BOUND" in caught.value.hint
    assert ("700 of 1,200 messages were accepted",) == caught.value.details


def test_a_publish_once_that_falls_silent_midway_says_how_much_is_certain(redis_to_break) -> None:  # type: ignore[no-untyped-def]
    broker = CeleriacBroker(redis_to_break.url)
    broker.publish_once([Message("t", "q", "first")])

    class Breaking(list[Message]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for n, one in enumerate(super().__iter__()):
                if n == 1_200:
                    time.sleep(0.2)  # the second chunk is there by now
                    redis_to_break.stop()
                yield one

    with pytest.raises(DevctlError, match="does not answer") as caught:
        broker.publish_once(Breaking(Message("t", "q", str(n)) for n in range(2_000)))

    assert "1,000 of 2,000 messages were accepted" == caught.value.details[0]


def test_a_full_redis_refuses_and_nothing_is_in_doubt(redis_to_break) -> None:  # type: ignore[no-untyped-def]
    with redis.Redis(port=redis_to_break.port) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    broker = CeleriacBroker(redis_to_break.url)

    with pytest.raises(DevctlError) as caught:
        broker.publish([Message("t", "q", "1")])
    with pytest.raises(DevctlError) as again:
        broker.publish_once([Message("t", "q", "1")])

    for one in (caught.value, again.value):
        assert "refuses: " in one.problem
        assert "it is full: raise REDIS_MAXMEMORY" in one.hint
    assert ("0 of 1 messages were accepted",) == again.value.details


def test_a_wrong_password_is_named_and_never_shown(redis_to_break) -> None:  # type: ignore[no-untyped-def]
    with redis.Redis(port=redis_to_break.port) as client:
        client.config_set("requirepass", "right")
    problems = []
    for secret in ("", ":s3cret@"):
        broker = CeleriacBroker(f"redis://{secret}127.0.0.1:{redis_to_break.port}/0")
        with pytest.raises(DevctlError) as caught:
            broker.info()
        problems.append(caught.value)

    assert all("PASSWORD@" in one.hint for one in problems)
    assert not any("s3cret" in f"{one.problem}{one.hint}{one.details}" for one in problems)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/0", "redis://127.0.0.1:70000/0", "127.0.0.1:6379", "amqp://u:s3cret@h"]
)
def test_what_is_no_redis_is_named_without_its_password(url: str) -> None:
    with pytest.raises(DevctlError) as caught:
        CeleriacBroker(url).info()

    assert "s3cret" not in f"{caught.value.problem}{caught.value.hint}"
    assert "not the address of a Redis" in caught.value.problem


class _LosesReplies(socketserver.BaseRequestHandler):
    """Passes everything on, but where the answer to an LPUSH is due it hangs up."""

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.target)) as there:  # type: ignore[attr-defined]
            pushed = False
            while True:
                for ready in select.select([self.request, there], [], [])[0]:
                    data = ready.recv(65_536)
                    pushed = pushed or b"LPUSH" in data
                    if not data or (pushed and ready is there):
                        return
                    (there if ready is self.request else self.request).sendall(data)


def test_a_message_whose_answer_is_lost_is_not_sent_again(redis_url: str, redis_server) -> None:  # type: ignore[no-untyped-def]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _LosesReplies) as proxy:
        proxy.daemon_threads = True
        proxy.target = redis_server.port  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        with pytest.raises(DevctlError, match="does not answer") as caught:
            CeleriacBroker(f"redis://127.0.0.1:{proxy.server_address[1]}/0").publish([Message("t", "q", "once")])
        proxy.shutdown()

    assert ("0 of 1 messages were accepted", "1 more may have been: no answer came") == caught.value.details
    assert [1] == [one.waiting for one in CeleriacBroker(redis_url).queues(["q"]) if one.name == "q"]


def test_the_redis_behind_sentinels_is_found_by_whichever_answers(redis_server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # conftest's fixture
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {redis_server.port} 1\n")
    process = subprocess.Popen([redis_server.binary, str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    broker = StockBroker(f"sentinel://:x@127.0.0.1:1/0;sentinel://127.0.0.1:{port}/7")
    try:
        deadline = time.monotonic() + 15
        while True:
            with suppress(DevctlError):
                broker.publish([Message("t", "q", "1")])
                break
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()

    with redis.Redis(port=redis_server.port, db=7) as client:
        assert 1 == client.llen("q")
        client.flushdb()
    with pytest.raises(DevctlError, match=r"the sentinel at 127\.0\.0\.1:1 does not answer"):
        StockBroker("sentinel://:s3cret@127.0.0.1:1/0").info()
