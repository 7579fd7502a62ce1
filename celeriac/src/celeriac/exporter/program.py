"""`celeriac exporter`: what Redis knows of the queues, for Prometheus; one for each broker."""

import asyncio
import signal
import threading
from http import HTTPStatus
from typing import Any

from celeriac import logs
from celeriac.app.settings import HttpSettings, LogSettings
from celeriac.broker.client import client_of
from celeriac.environment import load
from celeriac.events import emit
from celeriac.exporter.consumers import Consumers
from celeriac.exporter.page import Page
from celeriac.exporter.queues import Queues
from celeriac.worker.endpoints import Answer, Endpoints, Route, answer, listen
from celeriac.worker.metrics import METRICS_TYPE

SERVICE, PORT = "exporter", 9808
PATIENCE_SECONDS = 2.0  # for Redis; Prometheus waits for ten


def routes(page: Page) -> dict[str, Route]:
    """/metrics and /health. Both are 200 while Redis is away: this process is well, and says what is not."""

    async def show_metrics() -> Answer:
        return Answer(HTTPStatus.OK, await asyncio.to_thread(page.text), METRICS_TYPE)

    async def health() -> Answer:
        up = await asyncio.to_thread(lambda: page.redis_answers)
        return answer(HTTPStatus.OK, status="ok" if up else "degraded", redis="up" if up else "away")

    return {"/metrics": show_metrics, "/health": health}


def serve(app: Any, queues: list[str], host: str | None = None, port: int | None = None) -> int:
    """Until a SIGTERM; the exit code. Raises SettingsError."""
    log, http = load(LogSettings), load(HttpSettings)
    listener = listen(host or http.host, port or http.port or PORT)
    logs.configure(SERVICE, log.level, log.format)
    client = client_of(app, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)
    consumers = Consumers(app)
    consumers.wanted()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    Endpoints(listener, routes(Page(Queues(client, queues), consumers))).start()
    address = listener.getsockname()
    emit("exporter.started", host=address[0], port=address[1])
    ended.wait()
    emit("exporter.stopped")
    return 0
