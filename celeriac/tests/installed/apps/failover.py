"""An app with several brokers, of which one is away."""

import os
import time

from celery import Celery

from celeriac import install

app = install(Celery("failover", broker=os.environ["PLAIN_BROKER"], backend=os.environ["PLAIN_URL"]))


@app.task
def nothing() -> None:
    return None


@app.task
def naps(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def parent() -> bool:
    """Sends a child, and waits until it has ended."""
    child = nothing.delay()
    deadline = time.monotonic() + 8
    while not child.ready() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(child.ready())
