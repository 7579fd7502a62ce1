"""Start the service: `python -m service2.main`."""

import asyncio
import os
import sys
from http import HTTPStatus

from celeriac import logs
from celeriac.app.client import make_app
from celeriac.errors import SettingsError
from celeriac.worker.app import make_worker
from celeriac.worker.program import Consumption, run_worker
from common_tasks.tasks import send_notification
from service2 import config
from service2.endpoints import Answer, Endpoints, Route, answer, listen, problem
from service2.handlers import SERVICE, notifier
from service2.metrics import Metrics
from service2.readiness import NotReady, Readiness, broker_ping
from service2.sink import LogSink

PATIENCE_SECONDS = 1.0  # a probe waits for three seconds at most
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def main() -> int:
    try:
        settings = config.load()
        listener = listen(settings.http.host, settings.http.port)
    except SettingsError as exc:
        print(f"{SERVICE} cannot start: {exc}", file=sys.stderr)  # noqa: T201  there is no log yet
        return 1
    # A child that outlives us for a moment must not keep our port from our successor.
    os.register_at_fork(after_in_child=listener.close)
    logs.configure(SERVICE, settings.log.level, settings.log.format)
    consumption = Consumption()
    metrics = Metrics(consumption.alive)
    app = make_worker(
        SERVICE, owns=[notifier(LogSink(), metrics.count)], settings=settings.celery, retries=settings.retries
    )
    asking = make_app(SERVICE, settings.celery, patience_seconds=PATIENCE_SECONDS)
    readiness = Readiness(broker_ping(asking), consumption.alive, [send_notification.queue])
    readiness.stay_out_of_forks()
    metrics.start()
    Endpoints(listener, routes(readiness, metrics)).start()
    return run_worker(app, settings.worker, consumption)


def routes(readiness: Readiness, metrics: Metrics) -> dict[str, Route]:
    async def health() -> Answer:
        return answer(HTTPStatus.OK, status="ok")

    async def ready() -> Answer:
        try:
            await asyncio.to_thread(readiness.check)
        except NotReady as exc:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", f"{exc}.")
        return answer(HTTPStatus.OK, status="ready", queues=list(readiness.queues))

    async def show_metrics() -> Answer:
        return Answer(HTTPStatus.OK, metrics.text(), METRICS_TYPE)

    return {"/health": health, "/ready": ready, "/metrics": show_metrics}


if __name__ == "__main__":
    sys.exit(main())
