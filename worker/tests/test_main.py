"""The worker as it is deployed: python -m worker.main, on a real Redis."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.workbench import bench_ledger
from celeriac.workbench.bench import BenchKind, BenchPayload, bench
from common_tasks.schemas import OrderItem, OrderPayload, OrderStatus
from common_tasks.tasks import health_check, process_order, send_notification

pytestmark = pytest.mark.integration


def eventually(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def client(url: str) -> Celery:
    return make_app("test", CelerySettings(broker_url=url))


def order() -> OrderPayload:
    item = OrderItem(product_id="p-1", quantity=2)
    return OrderPayload(source_service="test", customer_id="c-1", items=(item,), total_amount=Decimal("12.50"))


ORDER_OF_A_STOCK_CLIENT = {
    "source_service": "stock",
    "customer_id": "c-1",
    "items": [{"product_id": "p-1", "quantity": 2}],
    "total_amount": "12.50",
}

STOCK_CLIENT = """
import json, sys
from celery import Celery
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
sent = app.send_task("tasks.process_order", args=[json.loads(sys.argv[2])], queue="orders")
print(json.dumps([sent.id, sent.get(timeout=10)]))
assert not any(name.startswith("common_tasks") for name in sys.modules)
"""


def test_an_order_is_processed_and_its_notification_waits_for_its_owner(redis_url: str, start: Any) -> None:
    """One worker for the questions that do not end it; starting one takes a second or two."""
    worker = start(redis_url)
    worker.wait_until_ready()
    app = client(redis_url)

    # Of ours.
    pending = process_order.bind(app).delay(payload := order())
    result = pending.get(timeout=10)
    assert (payload.task_id, OrderStatus.COMPLETED) == (result.order_id, result.status)
    assert "healthy" == health_check.bind(app).delay().get(timeout=10).status

    # Of a client that knows nothing of this repository.
    said = subprocess.run(
        [sys.executable, "-c", STOCK_CLIENT, redis_url, json.dumps(ORDER_OF_A_STOCK_CLIENT)],
        capture_output=True,
        text=True,
        check=True,
    )
    task_id, answer = json.loads(said.stdout)
    assert (task_id, "completed", "12.50") == (answer["order_id"], answer["status"], answer["total_amount"])

    # One notification each, in the queue of another service, under an id that a second run would give it again.
    with redis.Redis.from_url(redis_url) as broker:
        waiting = [json.loads(raw)["headers"]["id"] for raw in reversed(broker.lrange("notifications", 0, -1))]
    parents = [str(payload.task_id), task_id]
    assert [str(uuid.uuid5(uuid.UUID(one), f"{send_notification.name}:0")) for one in parents] == waiting
    assert [str(result.notification_id), answer["notification_id"]] == waiting

    # It has nothing of what devctl measures with: a message that looks like a bench's is like any other.
    process_order.bind(app).apply_async(payload := order(), headers={bench_ledger.HEADER: "r2"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("notifications") == 3)
        assert not broker.keys("*r2*")
        assert not broker.exists("_kombu.binding.bench")
    eventually(lambda: {"task.started", "task.succeeded"} <= told(worker, str(payload.task_id)))


def told(worker: Any, task_id: str) -> set[str]:
    """The events in its log that name this task."""
    lines = [json.loads(line) for line in worker.output().splitlines() if line.endswith("}")]
    return {line["event"] for line in lines if line.get("task_id") == task_id}


def test_with_the_workbench_it_measures(redis_url: str, start: Any) -> None:
    worker = start(redis_url, WORKER_MOUNT="celeriac.workbench")
    worker.wait_until_ready()
    app = client(redis_url)

    # A bench message: measured, not told in the logs, without a result.
    run = {"queue": "bench", "headers": {bench_ledger.HEADER: "r1"}}
    measured = bench.bind(app).apply_async(BenchPayload(source_service="devctl"), **run)
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen(bench_ledger.key("r1")))
        (entry,) = [json.loads(raw) for raw in broker.lrange(bench_ledger.key("r1"), 0, -1)]
    assert [measured.id, True, f"worker@{os.uname().nodename}-{worker.process.pid}"] == [
        entry[0],
        time.time() - 60 < entry[1] <= entry[2] <= time.time(),
        entry[3],
    ]
    assert "PENDING" == measured.state
    assert measured.id not in worker.output()

    # A contract that is measured leaves the real queues alone.
    process_order.bind(app).apply_async(order(), headers={bench_ledger.HEADER: "r2"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("bench.r2.notifications"))
        assert 0 == broker.llen("notifications")

    # What it wrote last, in its children too, is not lost when it ends.
    for _ in range(20):
        bench.bind(app).apply_async(BenchPayload(source_service="devctl"), headers={bench_ledger.HEADER: "r3"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("bench") == 0)
        assert 0 == worker.stop()
        done = broker.llen(bench_ledger.key("r3")) + broker.llen("bench")
    assert 20 == done
    assert not worker.health_file.exists()
    lines = [json.loads(line) for line in worker.output().splitlines()]
    assert {"worker"} == {line["service"] for line in lines}
    assert "worker.stopped" == lines[-1]["event"]


STOCK_WORKER = """
from celery import Celery
app = Celery("stock", broker={url!r}, backend={url!r})

@app.task(name="tasks.process_order")
def process_order(payload):
    return {{
        "order_id": payload["order_id"],
        "status": "completed",
        "notification_id": payload["order_id"],
        "item_count": len(payload["items"]),
        "total_amount": payload["total_amount"],
        "more": "than we know",
    }}
"""


def test_a_stock_worker_serves_a_queue_of_ours(redis_url: str, start: Any, tmp_path: Path) -> None:
    (tmp_path / "stock.py").write_text(STOCK_WORKER.format(url=redis_url))
    command = ("-m", "celery", "--workdir", str(tmp_path), "-A", "stock", "worker", "-Q", "orders", "-P", "solo")
    start(redis_url, *command)
    pending = process_order.bind(client(redis_url)).delay(payload := order())
    assert (payload.order_id, 1) == ((result := pending.get(timeout=20)).order_id, result.item_count)


def slow(app: Celery, milliseconds: float) -> Any:
    payload = BenchPayload(source_service="test", kind=BenchKind.WAIT, milliseconds=milliseconds)
    return bench.bind(app).apply_async(payload, ignore_result=False)


@pytest.mark.parametrize(
    ("pool", "told"), [("prefork", signal.SIGTERM), ("threads", signal.SIGHUP), ("solo", signal.SIGTERM)]
)
def test_a_stop_lets_the_running_task_finish_and_leaves_the_next_one_in_the_queue(
    pool: str, told: signal.Signals, redis_url: str, start: Any
) -> None:
    worker = start(redis_url, WORKER_POOL=pool, WORKER_MOUNT="celeriac.workbench")
    app = client(redis_url)
    running, waiting = slow(app, 800), slow(app, 0)
    eventually(lambda: running.state == "STARTED")
    worker.process.send_signal(told)
    assert 0 == worker.process.wait(20)
    assert "SUCCESS" == running.state
    with redis.Redis.from_url(redis_url) as broker:
        left = (waiting.state, broker.llen("bench"), broker.hlen("unacked"))
    assert ("PENDING", 1, 0) == left, worker.output()


def test_the_task_of_a_child_that_is_killed_runs_again(redis_url: str, start: Any) -> None:
    worker = start(redis_url, WORKER_POOL="prefork", WORKER_MOUNT="celeriac.workbench")
    pending = slow(client(redis_url), 1000)
    eventually(lambda: pending.state == "STARTED")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    assert BenchKind.WAIT == pending.get(timeout=20).kind
    assert 2 == worker.output().count('"event": "task.started"')
    assert "WorkerLostError" in worker.output()


def test_the_health_file_goes_stale_while_the_broker_is_away_and_not_after(redis_to_break: Any, start: Any) -> None:
    worker = start(redis_to_break.url)
    worker.wait_until_ready()
    redis_to_break.stop()
    eventually(lambda: "Connection to broker lost" in worker.output())
    last = time.time()
    time.sleep(3)  # a beat and a half
    assert worker.health_file.stat().st_mtime <= last + 0.5
    assert worker.process.poll() is None
    redis_to_break.start()
    eventually(lambda: worker.health_file.stat().st_mtime > last + 1)
    assert "healthy" == health_check.bind(client(redis_to_break.url)).delay().get(timeout=10).status


def test_a_worker_without_a_broker_waits_for_it_and_is_not_healthy_meanwhile(redis_to_break: Any, start: Any) -> None:
    redis_to_break.stop()
    worker = start(redis_to_break.url)
    eventually(lambda: "Cannot connect" in worker.output())
    assert not worker.health_file.exists()
    redis_to_break.start()
    worker.wait_until_ready()
    assert 0 == worker.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_BROKER_URL", "redis://:hunter2@h:70000"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h/0?socket_timeout=abc"),
        ("CELERY_RESULT_BACKEND", "rediss://:hunter2@h/0"),
        ("WORKER_HEALTH_FILE", "/dev/null/hunter2"),
        ("WORKER_MOUNT", "no.such.module"),
    ],
)
def test_a_wrong_environment_is_one_line_and_exit_1(name: str, value: str, start: Any) -> None:
    worker = start("redis://127.0.0.1:1/0", **{name: value})
    assert 1 == worker.process.wait(20)
    (line,) = worker.output().splitlines()
    assert line.startswith(f"worker cannot start: {name} is ")
    assert "hunter2" not in line


def test_a_likely_typing_error_is_one_line_and_what_kubernetes_sets_is_none(redis_url: str, start: Any) -> None:
    worker = start(redis_url, CELERY_LEASE_SECOND="3", CELERY_FLOWER_PORT="tcp://10.0.0.1:80", CELERY_LOADER="x")
    worker.wait_until_ready()
    first = worker.output().splitlines()[0]
    assert "CELERY_LEASE_SECOND is no setting and is not used; did you mean CELERY_LEASE_SECONDS?" == first
    assert not any(name in worker.output() for name in ("FLOWER", "LOADER"))
    assert 0 == worker.stop()


def test_no_log_line_shows_the_password_of_the_broker(start: Any) -> None:
    worker = start("redis://user:hunter2@127.0.0.1:1/0", LOG_LEVEL="debug")
    eventually(lambda: "Cannot connect" in worker.output())
    worker.process.terminate()
    assert "hunter2" not in worker.output()
    assert "***@127.0.0.1:1" in worker.output()
