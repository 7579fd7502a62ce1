"""The worker's example: orders, as functions and in the process that is deployed."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery

from celeriac import CelerySettings, Outcome, make_app
from celeriac.workbench import bench_ledger
from common_tasks.schemas import NotificationPayload, NotificationType, OrderItem, OrderPayload, OrderStatus
from common_tasks.tasks import process_order, send_notification
from worker.handlers import handle_order

ID = UUID("5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4")


def order(**changes: Any) -> OrderPayload:
    return OrderPayload(
        **{"order_id": ID} | changes,
        source_service="service1",
        customer_id="c-1",
        items=(OrderItem(product_id="a", quantity=2), OrderItem(product_id="b", quantity=1)),
        total_amount=Decimal("12.50"),
    )


def test_an_order_is_completed_and_its_customer_notified() -> None:
    outcome = Outcome(ID)
    result = handle_order(order(), outcome)
    assert (ID, OrderStatus.COMPLETED, 3, Decimal("12.50")) == (
        result.order_id,
        result.status,
        result.item_count,
        result.total_amount,
    )
    (child,) = outcome.children
    assert child.contract is send_notification
    assert isinstance(child.payload, NotificationPayload)
    assert (NotificationType.EMAIL, "c-1") == (child.payload.notification_type, child.payload.recipient)
    assert result.notification_id == child.payload.notification_id == child.payload.task_id


def test_the_same_order_gives_the_same_notification() -> None:
    assert handle_order(order(), Outcome(ID)) == handle_order(order(), Outcome(ID))


def test_the_longest_order_still_makes_a_notification() -> None:
    long = order().model_copy(update={"customer_id": "c" * 128, "total_amount": Decimal("999999999999.99")})
    assert handle_order(long, Outcome(ID)).notification_id


def eventually(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def client(url: str) -> Celery:
    return make_app("test", CelerySettings(broker_url=url))


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


@pytest.mark.integration
def test_an_order_is_processed_and_its_notification_waits_for_its_owner(redis_url: str, start: Any) -> None:
    """One worker for the questions that do not end it; starting one takes a second or two."""
    worker = start(redis_url)
    worker.wait_until_ready()
    app = client(redis_url)

    # Of ours.
    pending = process_order.bind(app).delay(payload := order(order_id=uuid.uuid4()))
    result = pending.get(timeout=10)
    assert (payload.task_id, OrderStatus.COMPLETED) == (result.order_id, result.status)

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
    process_order.bind(app).apply_async(payload := order(order_id=uuid.uuid4()), headers={bench_ledger.HEADER: "r2"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("notifications") == 3)
        assert not broker.keys("*r2*")
        assert not broker.exists("_kombu.binding.bench")
    eventually(lambda: {"task.started", "task.succeeded"} <= told(worker, str(payload.task_id)))


def told(worker: Any, task_id: str) -> set[str]:
    """The events in its log that name this task."""
    lines = [json.loads(line) for line in worker.output().splitlines() if line.endswith("}")]
    return {line["event"] for line in lines if line.get("task_id") == task_id}


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


@pytest.mark.integration
def test_a_stock_worker_serves_a_queue_of_ours(redis_url: str, start: Any, tmp_path: Path) -> None:
    (tmp_path / "stock.py").write_text(STOCK_WORKER.format(url=redis_url))
    command = ("-m", "celery", "--workdir", str(tmp_path), "-A", "stock", "worker", "-Q", "orders", "-P", "solo")
    start(redis_url, *command)
    pending = process_order.bind(client(redis_url)).delay(payload := order(order_id=uuid.uuid4()))
    assert (payload.order_id, 2) == ((result := pending.get(timeout=20)).order_id, result.item_count)


@pytest.mark.integration
def test_an_order_that_is_measured_leaves_the_real_queues_alone(redis_url: str, start: Any) -> None:
    start(redis_url, WORKER_MOUNT="celeriac.workbench").wait_until_ready()
    order_of_a_bench = order(order_id=uuid.uuid4())
    process_order.bind(client(redis_url)).apply_async(order_of_a_bench, headers={bench_ledger.HEADER: "r2"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("bench.r2.notifications"))
        assert 0 == broker.llen("notifications")
