"""A service that owns tasks, in one call: `serve("mails", owns=[send_mail])`."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from celeriac import environment, logs
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, Routed, WorkerSettings
from celeriac.contract.implementation import Implementation
from celeriac.errors import SettingsError
from celeriac.health import Judgement
from celeriac.retry import policy as retries
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.app import make_worker
from celeriac.worker.endpoints import Endpoints, listen
from celeriac.worker.metrics import EventCounter, Metrics
from celeriac.worker.probes import routes
from celeriac.worker.program import Consumption, run_worker
from celeriac.worker.readiness import Readiness, broker_ping

if TYPE_CHECKING:
    from socket import socket

Owned = Sequence[Implementation[Any, Any]]
PATIENCE_SECONDS = 1.0  # of /ready, for the broker: a probe waits for three seconds at most


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
        _answer(listener, app, settings.celery, consumption, counters)
    return run_worker(app, settings.worker, consumption)


def _answer(
    listener: "socket", app: Any, settings: CelerySettings, consumption: Consumption, counters: Sequence[EventCounter]
) -> None:
    """Answer probes from a thread beside the worker."""
    # A child that outlives us for a moment must not keep our port from our successor.
    os.register_at_fork(after_in_child=listener.close)
    asking = make_app(app.main, settings, patience_seconds=PATIENCE_SECONDS)
    readiness = Readiness(broker_ping(asking), consumption.alive, app.owned_queues)
    readiness.stay_out_of_forks()
    metrics = app.metrics = Metrics(app, consumption.alive, counters) if find_spec("prometheus_client") else None
    Endpoints(listener, routes(readiness, metrics, lambda: _judgement(app))).start()


def _judgement(app: Any) -> Judgement | None:
    vitals = getattr(app, "vitals", None)  # before its worker is made there are none
    return None if vitals is None else vitals.judgement()
