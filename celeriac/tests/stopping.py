"""A service whose tasks take their time, or their worker along; run as a script it is its worker."""

import os
import signal
import sys
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject, WorkerShutdown, WorkerTerminate

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.lease import starts
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker


class Called(Task):  # type: ignore[type-arg]
    """It has a `__call__` of its own, so it goes Celery's own way."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


def worker() -> Celery:
    app = make_worker("stopping", [], environment.load(CelerySettings))
    app.owned_queues = ("stops",)  # type: ignore[attr-defined]  # an attribute of ours on the app

    def note(key: str) -> int:
        return int(app.backend.client.incr(f"started-{key}"))

    def nap(seconds: float, key: str = "nap") -> str:
        note(key)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        return "rested"

    def kill(after: float = 0.0) -> None:
        note("kill")
        time.sleep(after)
        os.kill(os.getpid(), signal.SIGKILL)

    def end(how: str) -> None:
        if note("end") > 6:
            return
        raise {"shutdown": WorkerShutdown(0), "terminate": WorkerTerminate(0), "requeue": Reject(requeue=True)}[how]

    for body in (nap, kill, end):
        app.task(name=f"stops.{body.__name__}")(body)
        app.task(name=f"stops.called_{body.__name__}", base=Called)(body)
    return app


if __name__ == "__main__":
    starts.ALONE_SECONDS = float(os.environ.get("ALONE_SECONDS", starts.ALONE_SECONDS))
    log = environment.load(LogSettings)
    logs.configure("stopping", log.level, log.format)
    sys.exit(run_worker(worker(), environment.load(WorkerSettings)))
