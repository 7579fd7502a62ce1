"""Stock Celery, as it comes: what `devctl chaos --stock` puts to the same rows. Not one setting is changed.

    python -m devctl.chaos.stock chaos

A file of its own, of Celery and redis-py alone: in containers it is mounted into the worker's image.
"""

import os
import signal
import socket
import sys
import time
import uuid
from typing import Any

import redis
from celery import Celery

CHUNK, CHUNKS = 64 * 2**20, 64

app = Celery("stock", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ.get("STOCK_RESULTS") or None)
ledger = redis.Redis.from_url(os.environ["CHAOS_LEDGER_URL"])
effects = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])


def note(run: str, task_id: str, what: str) -> None:
    """A line of the ledger."""
    by = f"{socket.gethostname()}-{os.getpid()}"
    ledger.xadd(f"chaos:{run}:ledger", {"id": task_id, "what": what, "by": by, "at": f"{time.time():.3f}"})


@app.task(name="tasks.chaos", bind=True)
def work(self: Any, payload: dict[str, Any]) -> None:
    """The same body as `celeriac.workbench.chaos`, written as one writes it with stock Celery."""
    run, task_id, kind = payload["run"], payload["task_id"], payload["kind"]
    start = int(ledger.hincrby(f"chaos:{run}:starts", task_id, 1))
    note(run, task_id, "start")
    time.sleep(payload["milliseconds"] / 1000)
    if kind == "flaky" and start == 1:
        raise self.retry(countdown=0.5)
    if kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(3600)
    if kind == "memory":
        held = [bytearray(b"\1") * CHUNK if payload["touch"] else bytearray(CHUNK) for _ in range(CHUNKS)]
        raise RuntimeError(f"no limit kept this process from {len(held) * CHUNK} bytes")
    effects.hincrby(f"chaos:{run}:effects", task_id, 1)
    if payload["notify"]:
        child = str(uuid.uuid5(uuid.UUID(task_id), "tasks.chaos_child:0"))
        app.send_task("tasks.chaos_child", args=[{"task_id": child, "run": run}], task_id=child, queue="chaos-children")
    note(run, task_id, "finish")


@app.task(name="tasks.chaos_child")
def follow_up(payload: dict[str, Any]) -> None:
    """The follow-up."""
    effects.sadd(f"chaos:{payload['run']}:notified", payload["task_id"])


if __name__ == "__main__":
    name = f"stock-{os.getpid()}@%h"
    app.worker_main(["worker", "--queues", ",".join(sys.argv[1:]), "--hostname", name, "--loglevel", "INFO"])
