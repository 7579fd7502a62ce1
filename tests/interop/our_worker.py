"""A worker of ours with the stock tasks, and one contract of its own."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import redis.connection
import redis.utils

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.contract.implementation import implements
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker

sys.path.insert(0, str(Path(__file__).parent))
import stock_tasks
from contracts import Said, Say, shout


@implements(shout)
def handle_shout(payload: Say) -> Said:
    return Said(text=payload.text.upper())


def conf() -> dict[str, Any]:
    given: dict[str, Any] = json.loads(os.environ.get("INTEROP_CONF", "{}"))
    return given


if __name__ == "__main__":
    if "INTEROP_RESP" in os.environ:  # as an older redis-py would have it
        redis.utils.DEFAULT_RESP_VERSION = redis.connection.DEFAULT_RESP_VERSION = int(os.environ["INTEROP_RESP"])
    log = environment.load(LogSettings)
    logs.configure("interop", log.level, log.format)
    app = make_worker("interop", [handle_shout], environment.load(CelerySettings))
    options = {**app.conf.broker_transport_options, **conf().pop("broker_transport_options", {})}
    app.conf.update(conf() | {"broker_transport_options": options})
    stock_tasks.observe(json.loads(os.environ.get("INTEROP_SIGNALS", "[]")))
    stock_tasks.tell_when_ready()
    sys.exit(run_worker(app, environment.load(WorkerSettings)))
