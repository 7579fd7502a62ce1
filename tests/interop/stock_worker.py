"""A stock worker: plain Celery with its defaults, but for what the environment says."""

import json
import os

import stock_tasks
from celery import Celery

URL = os.environ["INTEROP_URL"]
app = Celery("stock", broker=URL, backend=URL)
app.conf.update(task_default_queue="default", **json.loads(os.environ.get("INTEROP_CONF", "{}")))


@app.task(name="interop.shout")
def shout(payload):
    """What the contract of this name promises, as somebody without our package would write it."""
    if payload["text"] == "please fail":
        raise RuntimeError("as you wish")
    return {"source_service": "stock", "text": payload["text"].upper()}


if __name__ == "__main__":
    stock_tasks.observe(json.loads(os.environ.get("INTEROP_SIGNALS", "[]")))
    stock_tasks.tell_when_ready()
    app.worker_main(["worker", "--loglevel", "info", *json.loads(os.environ.get("INTEROP_ARGUMENTS", "[]"))])
