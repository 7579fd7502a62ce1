"""Serves an application over HTTP, until a SIGTERM."""

import gc
import signal
import sys
from collections.abc import Callable
from socket import socket

import structlog
import uvicorn
from starlette.types import ASGIApp

from celeriac import debugger, environment, logs
from celeriac.app.settings import HttpSettings, LogSettings
from celeriac.errors import SettingsError
from celeriac.worker.endpoints import listen

STOP_SECONDS = 10  # for requests that run; each ends by itself within two
# Longer than the minute for which proxies keep connections: whoever closes first must not be the side that is asked.
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2_048

log = structlog.get_logger("celeriac.http.server")


def serve(service: str, make: Callable[[], ASGIApp], http_port: int = 8000) -> int:
    """Serve what `make` makes until SIGTERM or Ctrl-C; the exit code. A wrong environment (SettingsError) is one line
    on stderr, and exit code 1.

    All settings come from the environment: HTTP_HOST, HTTP_PORT (else `http_port`), LOG_…, and what `make` reads."""
    try:
        log_settings, http = environment.load(LogSettings), environment.load(HttpSettings)
        app = make()
        listener = listen(http.host, http.port or http_port, BACKLOG)
    except SettingsError as exc:
        print(f"{service} cannot start: {exc}", file=sys.stderr)  # noqa: T201  there is no log yet
        return 1
    logs.configure(service, log_settings.level, log_settings.format)
    debugger.install()
    run(app, listener)
    return 0


def run(app: ASGIApp, listener: socket) -> None:
    """Until SIGTERM or Ctrl-C; then the requests that run are finished."""
    config = uvicorn.Config(
        app,
        access_log=False,  # Access writes a line for each request
        log_config=None,  # and uvicorn's own loggers end in our log, like those of any library
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops gracefully and then raises the signal again, for whoever listened before it. That would be the
        # end by signal of a stop that went well.
        signal.signal(number, lambda *_: None)
    host, port = listener.getsockname()[:2]
    log.info("service.started", host=host, port=port)
    uvicorn.Server(config).run(sockets=[listener])
    gc.freeze()  # else the interpreter looks through all objects once more before it ends: 0.15 s
    log.info("service.stopped")
