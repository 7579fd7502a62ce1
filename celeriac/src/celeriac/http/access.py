"""The outermost layer: gives each request its correlation id, answers for bugs, logs one line, counts."""

import re
import time
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac import correlation
from celeriac.http.errors import internal_error
from celeriac.http.metrics import Metrics

HEADER = b"x-correlation-id"
# It is copied into log lines and messages, so it is short and has nothing in it that means something there.
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")
LONGEST_PATH = 200
# Asked every few seconds by machines; a line each would bury the rest.
PROBES = {"/health", "/ready", "/metrics"}

log = structlog.get_logger("celeriac.http.access")


class Access:
    """ASGI middleware, around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with correlation.bind(correlation_id(scope)) as bound:
            started = time.perf_counter()
            status = 0

            async def observed(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                    message = {**message, "headers": [*message["headers"], (HEADER, bound.encode())]}
                await send(message)

            try:
                await self.app(scope, receive, observed)
            except Exception:
                log.exception("http.failed", method=scope["method"], path=scope["path"][:LONGEST_PATH])
                if not status:
                    await internal_error().response()(scope, receive, observed)
            finally:
                self._tell(scope, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self.metrics.request(scope["method"], route, status, seconds)
        say = log.debug if scope["path"] in PROBES else log.info
        # 0: the client went away before it had an answer
        say(
            "http.request",
            method=scope["method"],
            path=scope["path"][:LONGEST_PATH],
            status=status,
            seconds=round(seconds, 6),
        )


def correlation_id(scope: Scope) -> str:
    """The caller's, if it is harmless; else a new one."""
    given = next((value for key, value in scope["headers"] if key == HEADER), b"").decode("latin-1")
    return given if ACCEPTED.fullmatch(given) else uuid4().hex
