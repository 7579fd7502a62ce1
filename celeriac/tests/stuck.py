"""A worker that can be made to hang in each of its parts; run as a script."""

import sys
import threading
from typing import Any

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.worker import heartbeat, vitals
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker

app: Any = make_worker("stuck", [], environment.load(CelerySettings))
app.conf.task_default_queue = "stuck"


def for_ever(*_: Any, **__: Any) -> None:
    threading.Event().wait()


def ends(*_: Any, **__: Any) -> None:
    raise SystemExit


@app.task(name="stuck.fault", shared=False)
def fault(part: str) -> None:
    intake = app.intake
    if part == "loop":
        intake.hub.call_soon(for_ever)
        intake.pool.ring()
    elif part == "guard":
        intake.guard._limits = for_ever
    elif part == "guard ends":
        intake.guard._limits = ends
    elif part == "commit":  # what is sent gets no answer, and nobody reads on
        intake.committer._send = intake.committer._read_answer = lambda: None
    elif part == "thread":
        for runner in intake.runners.values():
            runner.__self__.submit = for_ever


if __name__ == "__main__":
    heartbeat.BEAT_SECONDS = 0.1
    vitals.PING_SECONDS, vitals.FULL_SECONDS = 0.5, 2.0
    log = environment.load(LogSettings)
    logs.configure("stuck", log.level, log.format)
    sys.exit(run_worker(app, environment.load(WorkerSettings)))
