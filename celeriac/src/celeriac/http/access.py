"""The outermost layer: gives each request its correlation id, answers for bugs, logs one line, counts."""

import re
import time
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac import correlation
from celeriac.http.errors import internal_error
from celeriac.http.metrics import Metrics
from celeriac.trace_context import Trace

HEADER = b"x-correlation-id"
TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
# It is copied into log lines and messages, so it is short and has nothing in it that means something there.
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")
LONGEST_PATH = 200
# Asked every few seconds by machines; a line each would bury the rest.
PROBES = {"/health", "/ready", "/metrics"}

log = structlog.get_logger("celeriac.http.access")


class Access:
    """ASGI middleware, around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, service: str) -> None:
        self.app, self.metrics, self.service = app, metrics, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, trace = time.monotonic(), trace_of(scope)
        request = correlation.Request(self.service, via(scope), started)
        with correlation.Bound(correlation_id(scope, trace), trace, request) as bound:
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
                self._tell(scope, status, time.monotonic() - started)

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


def correlation_id(scope: Scope, trace: Trace | None = None) -> str:
    """The caller's, if it is harmless; else that of its trace; else a new one."""
    given = "".join(_values(scope, HEADER)[:1])
    return given if ACCEPTED.fullmatch(given) else trace.id if trace else uuid4().hex


def via(scope: Scope) -> str:
    """The request in a few words, harmless on a terminal."""
    text = f"{scope['method']} {scope['path'][:LONGEST_PATH]}"
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def trace_of(scope: Scope) -> Trace | None:
    """Where the caller stands in a trace. Two headers `traceparent` are as wrong as none; `tracestate` may be in
    parts."""
    parents = _values(scope, TRACEPARENT)
    return Trace.read(parents[0], ",".join(_values(scope, TRACESTATE))) if len(parents) == 1 else None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
