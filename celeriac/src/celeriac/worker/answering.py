"""What a worker answers over HTTP, from a thread beside it."""

import os
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from socket import socket
from typing import Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as Silent

from celeriac.broker.client import client_of
from celeriac.health import Judgement
from celeriac.worker.endpoints import Endpoints
from celeriac.worker.metrics import EventCounter, Metrics
from celeriac.worker.probes import routes
from celeriac.worker.readiness import Readiness

PATIENCE_SECONDS = 1.0  # of /ready, for the broker: a probe waits for three seconds at most


def answer(
    listener: socket,
    app: Any,
    ping: Callable[[], None],
    queues: Sequence[str],
    consuming: Callable[[], bool],
    counters: Iterable[EventCounter] = (),
) -> None:
    """Answer /health, /ready and /metrics. Call it before the worker starts."""
    # A child that outlives us for a moment must not keep our port from our successor.
    os.register_at_fork(after_in_child=listener.close)
    readiness = Readiness(ping, consuming, queues)
    readiness.stay_out_of_forks()
    metrics = app.metrics = Metrics(app, consuming, counters) if find_spec("prometheus_client") else None
    Endpoints(listener, routes(readiness, metrics, lambda: _judgement(app))).start()


def redis_ping(app: Any) -> Callable[[], None]:
    """Asks the broker of any app of ours. Raises TimeoutError or ConnectionError."""
    clients: list[Any] = []

    def ping() -> None:
        try:
            if not clients:
                patience = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
                clients.append(client_of(app, **patience))
            clients[0].ping()
        except Silent as exc:
            raise TimeoutError from exc
        except (RedisError, OSError) as exc:
            raise ConnectionError from exc

    return ping


def _judgement(app: Any) -> Judgement | None:
    vitals = getattr(app, "vitals", None)  # before its worker is made there are none
    return None if vitals is None else vitals.judgement()
