"""Stock Celery: prefork as it comes, or solo processes with late acknowledgement. The same app serves two more peers:
with the one line celeriac.install(app), and with the transport of celery-redis-plus."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, URL
from tally import tally

app = Celery("peers", broker=URL, backend=URL if RESULTS else None)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=not RESULTS,
    result_expires=RESULT_SECONDS,
    task_acks_late=os.environ.get("PEERS_ACKS_LATE") == "1",
    # "Optimizing" in Celery's guide: with many short tasks the multiplier should be large, 64 or 128.
    worker_prefetch_multiplier=int(os.environ.get("PEERS_PREFETCH", "128")),
    worker_hijack_root_logger=False,
)
if os.environ.get("PEERS_TRANSPORT"):
    import celery_redis_plus

    assert celery_redis_plus.Transport  # importing it registers its signals
    app.conf.broker_transport = os.environ["PEERS_TRANSPORT"]
if os.environ.get("PEERS_INSTALL") == "1":
    import celeriac

    celeriac.install(app)


@app.task(name="noop")
def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@app.task(name="wait10")
def wait10(number: int) -> None:
    time.sleep(0.01)
    tally.done(number)


@app.task(name="stamp")
def stamp(intended: float) -> None:
    tally.started(intended)


@app.task(name="order")
def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    app.send_task(
        "tasks.send_notification", (notification,), queue=NOTIFICATIONS, task_id=notification["notification_id"]
    )
    tally.done(number)
    return result


class Sender:
    many = None  # Celery publishes one message at a time, also for a group

    async def send(self, task: str, argument: Any, delay: float) -> None:
        app.send_task(task, (argument,), countdown=delay or None)

    async def close(self) -> None:
        app.close()
