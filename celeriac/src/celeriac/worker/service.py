"""A service that owns tasks, in one call: `serve("mails", owns=[send_mail])`."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac import environment, logs
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, Routed, WorkerSettings
from celeriac.contract.implementation import Implementation
from celeriac.errors import SettingsError
from celeriac.retry import policy as retries
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.answering import PATIENCE_SECONDS, answer
from celeriac.worker.app import make_worker
from celeriac.worker.endpoints import listen
from celeriac.worker.metrics import EventCounter
from celeriac.worker.program import Consumption, run_worker
from celeriac.worker.readiness import broker_ping

Owned = Sequence[Implementation[Any, Any]]


@dataclass(frozen=True)
class Settings:
    """What a service that owns tasks reads from its environment."""

    celery: CelerySettings
    worker: WorkerSettings
    log: LogSettings
    http: HttpSettings
    retries: dict[str, RetryPolicy]


def load(owns: Owned) -> Settings:
    """Raises SettingsError, one line, for variables that are wrong."""
    return Settings(
        celery=environment.load(CelerySettings),
        worker=environment.load(WorkerSettings),
        log=environment.load(LogSettings),
        http=environment.load(HttpSettings),
        retries=retries.from_environment([one.contract for one in owns], os.environ),
    )


def serve(
    service: str,
    owns: Owned,
    *,
    http_port: int | None = None,
    contracts: Iterable[Routed] = (),
    counters: Sequence[EventCounter] = (),
) -> int:
    """Run these tasks until a SIGTERM; the exit code. A wrong environment is one line on stderr, and exit code 1.

    All settings come from the environment: CELERY_…, WORKER_…, RETRY_…, LOG_…. With HTTP_PORT, the service also answers
    /health, /ready and /metrics; `http_port` is its port if the environment names none. `contracts`: those that it
    publishes by their names. `counters`: more to be shown by /metrics."""
    try:
        settings = load(owns)
        port = settings.http.port or http_port
        listener = listen(settings.http.host, port) if port else None
    except SettingsError as exc:
        print(f"{service} cannot start: {exc}", file=sys.stderr)  # noqa: T201  there is no log yet
        return 1
    logs.configure(service, settings.log.level, settings.log.format)
    consumption = Consumption()
    app = make_worker(service, owns, settings.celery, settings.retries, contracts)
    if listener is not None:
        asking = make_app(app.main, settings.celery, patience_seconds=PATIENCE_SECONDS)
        answer(listener, app, broker_ping(asking), app.owned_queues, consumption.alive, counters)  # type: ignore[attr-defined]  # an attribute of ours on the app
    return run_worker(app, settings.worker, consumption)
