"""The exporter over a real Redis: what it counts, and what it says while Redis is away."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celeriac.tests.conftest import start_worker
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.exporter import queues as looking
from celeriac.exporter.consumers import Consumers
from celeriac.exporter.page import BY_QUEUE, Page
from celeriac.exporter.queues import Queues
from shop.schemas import NotificationPayload
from shop.tasks import health_check, send_notification

pytestmark = pytest.mark.integration
HERE = Path(__file__).parents[1]


class Asked:
    """Workers that answer at once."""

    def __init__(self, *answers: dict[str, list[str]]) -> None:
        self.answers, self.control, self.times = answers, self, 0

    def broadcast(self, method: str, **_: Any) -> list[dict[str, Any]]:
        assert "active_queues" == method
        self.times += 1
        return [{node: [{"name": one} for one in queues]} for answer in self.answers for node, queues in answer.items()]


def values(text: bytes) -> dict[tuple[str, str], float]:
    """Name of a metric and its queue -> value."""
    return {
        (one.name, one.labels.get("queue", "")): one.value
        for family in text_string_to_metric_families(text.decode())
        for one in family.samples
    }


def page(client: redis.Redis, *answers: dict[str, list[str]], named: tuple[str, ...] = ()) -> Page:
    consumers = Consumers(Asked(*answers))
    consumers.wanted()
    until(lambda: consumers.known)
    return Page(Queues(client, named), consumers)


def until(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def notification() -> NotificationPayload:
    given = {"source_service": "shop", "recipient": "c-1", "notification_type": "EMAIL", "subject": "s", "message": "m"}
    return NotificationPayload.model_validate(given)


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_app("test", CelerySettings(broker_url=redis_url)) as made:
        yield made


def test_each_queue_is_counted_exactly_by_what_its_messages_wait_for(raw: Any, app: Any) -> None:
    send = send_notification.bind(app)
    for priority in (0, 0, 9, 5):
        send.apply_async(notification(), priority=priority)
    send.apply_async(notification(), countdown=60)
    health_check.bind(app).apply_async(None)
    message = raw.lpop("notifications")  # as a claim leaves it
    raw.hset("unacked", "tag", b'[%b,"","notifications"]' % message)
    raw.xadd(keys.dead("orders"), {"raw": b"x", "about": b"{}"})
    raw.sadd("celery-paused", "orders")

    seen = values(page(raw, {"w1@h": ["notifications"], "w2@h": ["notifications", "orders"]}).text())

    def of(queue: str) -> list[float]:
        return [seen["celery_queue_" + name, queue] for name in ("waiting", "claimed", "due", "dead", "paused")]

    assert [3, 1, 1, 0, 0] == of("notifications")
    assert [1, 0, 0, 0, 0] == of("default")
    assert [0, 0, 0, 1, 1] == of("orders")
    assert 0 <= seen["celery_queue_oldest_seconds", "notifications"] < 60
    assert 0 == seen["celery_queue_oldest_seconds", "orders"]
    assert [2, 1, 0] == [seen["celery_queue_consumers", one] for one in ("notifications", "orders", "default")]
    assert [2, 1] == [seen["celery_workers", ""], seen["redis_up", ""]]
    assert seen["redis_memory_bytes", ""] > 100_000
    assert len(BY_QUEUE) * 3 + 3 + 2 + 4 == len(seen)


def test_a_stock_layout_is_counted_too(raw: Any, redis_url: str) -> None:
    with Celery("stock", broker=redis_url, set_as_current=False) as stock:
        for priority in (0, 3, 9):
            stock.send_task("add", (1, 2), queue="sums", priority=priority)
    for name in ("sums", "sums\x06\x163", "sums\x06\x169"):  # in this process celeriac has stamped them
        message = json.loads(raw.lpop(name))
        del message["headers"]["published_at"]
        raw.lpush(name, json.dumps(message))
    raw.hset("unacked", "t", json.dumps([{"headers": {"eta": None}}, "", "sums"]))
    raw.hset("unacked", "u", json.dumps([{"headers": {"eta": "2999-01-01T00:00:00"}}, "", "sums"]))
    raw.zadd("unacked_index", {"t": 1, "u": 2})
    seen = values(page(raw).text())
    assert [3, 1, 1] == [seen["celery_queue_" + one, "sums"] for one in ("waiting", "claimed", "due")]
    assert ("celery_queue_oldest_seconds", "sums") not in seen  # stock publishers do not say when
    assert 0 == seen["celery_queue_consumers", "sums"]


def test_the_oldest_message_tells_its_age_by_the_clock_of_redis(raw: Any, app: Any) -> None:
    health_check.bind(app).apply_async(None)
    (message,) = raw.lrange("default", 0, -1)
    told = json.loads(message)
    told["headers"]["published_at"] -= 100
    raw.lset("default", 0, json.dumps(told))
    health_check.bind(app).apply_async(None)
    assert 100 <= values(page(raw).text())["celery_queue_oldest_seconds", "default"] < 130


def test_a_queue_that_an_app_names_is_shown_before_anybody_used_it(raw: Any) -> None:
    assert 0 == values(page(raw, named=("later",)).text())["celery_queue_consumers", "later"]


def test_many_who_ask_cost_one_look_and_one_question(raw: Any, app: Any) -> None:
    shown = page(raw)
    calls: list[Any] = []
    queues: Any = shown._queues
    looked = queues.look
    queues.look = lambda more: (calls.append(1), looked(more))[1]
    threads = [threading.Thread(target=shown.text) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert 1 == len(calls)
    assert 1 == shown._consumers._app.times


def test_a_worker_counts_until_it_has_missed_three_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("celeriac.exporter.consumers.monotonic", lambda: now[0])
    asked = Asked({"w@h": ["q"]})
    consumers = Consumers(asked)

    def ask() -> int:
        times = asked.times
        consumers.wanted()
        until(lambda: asked.times == times + 1 and not consumers._asking.locked())
        return consumers.by_queue()["q"]

    assert 1 == ask()
    asked.answers = ()
    counts = []
    for _ in range(4):
        now[0] += 15
        counts.append(ask())
    assert [1, 1, 1, 0] == counts


def test_while_nobody_answers_workers_are_asked_every_2_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("celeriac.exporter.consumers.monotonic", lambda: now[0])
    asked = Asked()
    consumers = Consumers(asked)
    times = []
    for answers in ((), ({"w@h": ["q"]},), (), ()):
        asked.answers = answers
        consumers.wanted()
        until(lambda: not consumers._asking.locked())
        times.append(asked.times)
        now[0] += 2
    assert [1, 2, 2, 2] == times


def test_keys_of_another_kind_and_strange_entries_are_no_error(raw: Any) -> None:
    raw.set("_kombu.binding.text", "x")
    raw.set("celery-dead-text", "x")
    raw.sadd("_kombu.binding.short", "only")
    raw.sadd("_kombu.binding.hash", "hash\x06\x16\x06\x16hash")
    raw.hset("hash", "a", "b")
    raw.hset("unacked", "t", "no message")
    raw.zadd("celery-due", {"no line": 1, "q\nmessage": 2})
    raw.lpush("q", "no message")
    seen = values(page(raw).text())
    assert (1, 1) == (seen["celery_queue_due", "q"], seen["celery_queue_waiting", "q"])
    assert 0 == seen["celery_queue_waiting", "hash"]


def test_ten_queues_take_less_than_50_ms(raw: Any, app: Any) -> None:
    for number in range(10):
        for _ in range(20):
            health_check.bind(app).apply_async(None, queue=f"q{number}")
    shown = page(raw)
    shown.text()
    took = []
    for _ in range(5):
        shown._looked_at = shown._queues._known.search_at = 0.0
        began = time.perf_counter()
        shown.text()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


def test_what_took_long_is_repeated_later() -> None:
    slow = Queues.__new__(Queues)
    began = time.monotonic()
    again = slow._next(lambda: time.sleep(0.03), 0.0) - began
    assert again > looking.REST * 0.03


def test_prometheus_finds_nothing_wrong_with_the_names(raw: Any, app: Any) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH: apt-get install prometheus")
    health_check.bind(app).apply_async(None)
    text = page(raw, {"w@h": ["default"]}).text()
    told = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (0, b"") == (told.returncode, told.stderr)


class Exporter:
    """`celeriac exporter` as a process."""

    def __init__(self, url: str, port: int, log: Path) -> None:
        self.port, self.log = port, log
        with log.open("wb") as out:
            command = [
                str(Path(sys.executable).with_name("celeriac")),
                "exporter",
                "--port",
                str(port),
                "--broker",
                url,
            ]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def get(self, path: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.status, answer.read()

    def seen(self) -> dict[tuple[str, str], float]:
        return values(self.get("/metrics")[1])


def test_the_program_survives_redis_and_does_not_count_twice_with_two_workers(
    redis_to_break: Any, tmp_path: Path
) -> None:
    workers = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        script = str(HERE / "lib" / "shop" / "worker.py")
        workers.append(start_worker([script], redis_to_break.url, tmp_path / str(number), PYTHONPATH=str(HERE / "lib")))
    exporter = Exporter(redis_to_break.url, free_port(), tmp_path / "log")
    try:
        with make_app("test", CelerySettings(broker_url=redis_to_break.url)) as app:
            for _ in range(3):
                app.send_task("anything", queue="nobody", task_id=str(uuid4()))
        for worker in workers:
            worker.wait_until_ready()
        until(lambda: "exporter.started" in exporter.log.read_text(), 20)
        until(lambda: exporter.seen().get(("celery_queue_consumers", "orders")) == 2, 40)
        seen = exporter.seen()
        assert [3, 0, 2] == [
            seen["celery_queue_waiting", "nobody"],
            seen["celery_queue_consumers", "nobody"],
            seen["celery_workers", ""],
        ]
        assert b'"ok"' in exporter.get("/health")[1]
        redis_to_break.stop()
        until(lambda: {("redis_up", ""): 0.0} == exporter.seen())
        status, said = exporter.get("/health")
        assert (200, {"status": "degraded", "redis": "away"}) == (status, json.loads(said))
        redis_to_break.start()
        until(lambda: exporter.seen()["redis_up", ""] == 1)
        exporter.process.send_signal(signal.SIGTERM)
        assert 0 == exporter.process.wait(10)
        told = [json.loads(line)["event"] for line in exporter.log.read_text().splitlines()]
        assert "Traceback" not in exporter.log.read_text()
        assert ["exporter.started", "exporter.stopped"] == [told[0], told[-1]]
        assert 1 == told.count("exporter.redis_away")
    finally:
        exporter.process.kill()
        exporter.process.wait()
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
