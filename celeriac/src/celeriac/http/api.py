"""A FastAPI application for a service that publishes tasks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel
from starlette.types import ASGIApp

from celeriac import environment
from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.http.access import Access
from celeriac.http.answers import add_error_answers
from celeriac.http.body_limit import BODY_SECONDS, MOST_BYTES, BodyLimit
from celeriac.http.broker import Broker
from celeriac.http.metrics import METRICS_TYPE, Metrics
from celeriac.http.openapi import error_responses
from celeriac.http.strict_json import JsonRoute

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


class Alive(BaseModel):
    """The answer of /health and /ready."""

    status: str = "ok"
    why: str | None = None  # with "degraded"


class Api(FastAPI):
    """FastAPI, and: strict JSON, limits of bodies, correlation ids, a line in the log for each request, error answers,
    /health, /ready and /metrics.

    In an endpoint, write `contract.delay(payload)` in a plain `def`, or `await asyncio.to_thread(contract.delay,
    payload)` in an `async def`. It goes through `broker`: while Redis is away it ends within two seconds, in an error
    that becomes a 503 (`celeriac.http.answers`). `publishes`: the contracts of the service. Without `settings`, the
    environment is read; that raises SettingsError."""

    def __init__(
        self,
        service: str,
        publishes: Iterable[Contract[Any, Any]] = (),
        settings: CelerySettings | None = None,
        *,
        most_body_bytes: int = MOST_BYTES,
        body_seconds: float = BODY_SECONDS,
        **options: Any,
    ) -> None:
        publishes = tuple(publishes)
        self.metrics = Metrics(one.name for one in publishes)
        self.broker = Broker(service, settings or environment.load(CelerySettings), publishes, self.metrics.published)
        self._service, self._limits = service, (most_body_bytes, body_seconds)
        super().__init__(**{"redoc_url": None, **options, "lifespan": _closing(options.get("lifespan"))})
        self.router.route_class = JsonRoute
        add_error_answers(self)
        self._add_operation()

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's, inside ours."""
        return Access(BodyLimit(super().build_middleware_stack(), *self._limits), self.metrics, self._service)

    def _add_operation(self) -> None:
        # These are coroutines, not plain functions: they answer from the event loop, however busy all threads are.
        @self.get("/health", summary="Alive", tags=["operation"], response_model_exclude_none=True)
        async def health() -> Alive:
            """Answers as long as this process lives, whatever the broker does: without it, `degraded`."""
            why = self.broker.availability.reason
            return Alive() if why is None else Alive(status="degraded", why=f"the broker {why}")

        @self.get(
            "/ready",
            summary="Can publish",
            tags=["operation"],
            responses=error_responses({503: "It cannot; why."}),
            response_model_exclude_none=True,
        )
        async def ready() -> Alive:
            """Answers 200 while the broker does."""
            await asyncio.to_thread(self.broker.check)
            return Alive(status="ready")

        @self.get("/metrics", summary="For Prometheus", tags=["operation"], response_class=Response)
        async def show_metrics() -> Response:
            return Response(self.metrics.text(), headers={"Content-Type": METRICS_TYPE})


def _closing(inner: Lifespan | None) -> Lifespan:
    """The lifespan that was given, if one was; then the broker is closed."""

    @asynccontextmanager
    async def lifespan(api: Api) -> AsyncIterator[Any]:
        async with inner(api) if inner else nullcontext() as state:
            yield state
        await asyncio.to_thread(api.broker.close)

    return lifespan
