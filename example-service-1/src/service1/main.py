"""Start the service: `python -m service1.main`."""

import os
import signal
import socket
import sys

import structlog
import uvicorn
from starlette.types import ASGIApp

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings
from celeriac.errors import SettingsError
from service1.api import create_app
from service1.config import HttpSettings
from service1.handlers import broker_orders
from service1.orders import SERVICE

STOP_SECONDS = 10  # for requests that run; each ends by itself within two
# Longer than the minute for which proxies keep connections: whoever closes first must not be the side that is asked.
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2_048

log = structlog.get_logger("service1.main")


def main() -> int:
    try:
        log_settings = environment.load(LogSettings)
        http = environment.load(HttpSettings)
        orders = broker_orders(environment.load(CelerySettings))
        listener = listen(http)
    except SettingsError as exc:
        print(f"service1 cannot start: {exc}", file=sys.stderr)  # noqa: T201  there is no log yet
        return 1
    logs.configure(SERVICE, log_settings.level, log_settings.format)
    serve(create_app(orders, orders.close), listener)
    return 0


def listen(http: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    try:
        return socket.create_server((http.host, http.port), family=family, backlog=BACKLOG)
    except OSError as exc:
        where = f"HTTP_HOST={http.host}, HTTP_PORT={http.port}"
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)  # below 0: a name that nobody knows
        raise SettingsError(f"{where}: {why}; choose another port, or free this one") from exc


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C; then the requests that run are finished."""
    config = uvicorn.Config(
        app,
        access_log=False,  # we write a line for each request ourselves
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
    log.info("service.stopped")


if __name__ == "__main__":
    sys.exit(main())
