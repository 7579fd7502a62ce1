"""The tasks of the workers in test_broker: plain Celery, nothing of this repository."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery, Task

app = Celery("probe", broker=os.environ.get("PROBE_URL"), backend=os.environ.get("PROBE_RESULTS"), set_as_current=False)
app.conf.update(
    broker_transport_options=json.loads(os.environ.get("PROBE_OPTIONS", "{}")),
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=True,
)


def echo(payload: Any = None, **more: Any) -> Any:
    return {"payload": payload, **more} if more else payload


def fail(text: str) -> None:
    raise LookupError(text)


BODIES = {"probe.echo": echo, "probe.fail": fail}


@app.task(name="probe.echo", bind=True, shared=False)
def run_echo(task: Task, payload: Any = None, **more: Any) -> Any:
    started = time.time()
    result = echo(payload, **more)
    run = task.request.get("bench_run")
    if run:
        entry = json.dumps([task.request.id, started, time.time(), task.request.hostname])
        with app.connection_for_write() as connection:
            connection.default_channel.client.rpush(f"devctl:bench:{run}:ledger", entry)
    return result


@app.task(name="probe.fail", shared=False)
def run_fail(text: str) -> None:
    fail(text)
