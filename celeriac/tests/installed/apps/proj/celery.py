"""A plain Celery app, as it stands in most projects; and the line."""

import json
import os
import time
from typing import Any

import redis
from celery import Celery, Task, signals

import celeriac

app = Celery("proj", broker=os.environ["PLAIN_URL"], backend=os.environ.get("PLAIN_RESULTS") or None)
app.conf.broker_transport_options = {"lease_seconds": 1, "max_starts": 2, "visibility_timeout": 3600}
app.conf.broker_transport_options |= json.loads(os.environ.get("PLAIN_OPTIONS", "{}"))
if "PLAIN_STOCK" not in os.environ:
    celeriac.install(app)
if pool := os.environ.get("PLAIN_POOL"):
    app.conf.worker_pool = pool


def client() -> Any:
    return redis.Redis.from_url(os.environ["PLAIN_URL"])


@app.task
def add(x: Any, y: Any) -> Any:
    return x + y


@app.task
def total(numbers: list[Any]) -> Any:
    return sum(numbers)


@app.task
def fails() -> None:
    raise ValueError("no")


@app.task(bind=True, max_retries=5)
def again(self: Any, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task(soft_time_limit=0.3)
def soft() -> str:
    from celery.exceptions import SoftTimeLimitExceeded

    try:
        for _ in range(200):
            time.sleep(0.05)
    except SoftTimeLimitExceeded:
        return "interrupted"
    return "went on"


@app.task(bind=True)
def limits(self: Any) -> Any:
    return [self.request.time_limit, self.request.soft_time_limit]


@app.task
def note(name: str, seconds: float = 0.0) -> str:
    """Says that it has begun, and what runs it."""
    client().rpush(f"notes-{name}", os.getpid())
    time.sleep(seconds)
    return name


@app.task(acks_late=False)
def at_most_once(name: str, seconds: float) -> None:
    client().rpush(f"notes-{name}", os.getpid())
    time.sleep(seconds)


@app.task(bind=True)
def parent(self: Any) -> Any:
    """Sends a child, and waits until it has ended."""
    child = add.delay(2, 3)
    deadline = time.monotonic() + 5
    while not child.ready() and time.monotonic() < deadline:
        time.sleep(0.01)
    return child.ready()


class Base(Task):
    """A base class of a user's own, with a hook."""

    def after_return(self, status: str, *_: Any) -> None:
        with client() as looks:
            looks.rpush("hooks", f"{status} {looks.zcard('celery-leases')}")


@app.task(base=Base)
def with_base(x: int) -> int:
    return x


def later() -> None:
    """Registers a task when the worker runs."""

    @app.task(name="proj.later")
    def late(x: int) -> int:
        return x


app.on_after_finalize.connect(lambda **_: later(), weak=False)


@signals.worker_process_init.connect
def opens(**_: Any) -> None:
    client().rpush("processes", f"begins {os.getpid()}")


@signals.worker_process_shutdown.connect
def closes(**_: Any) -> None:
    client().rpush("processes", f"ends {os.getpid()}")
