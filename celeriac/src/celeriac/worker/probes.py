"""What a worker answers over HTTP: /health, /ready, /metrics."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from celeriac.health import Judgement
from celeriac.worker.endpoints import Answer, Route, answer, problem
from celeriac.worker.metrics import METRICS_TYPE, Metrics
from celeriac.worker.readiness import NotReady, Readiness

NO_METRICS = "prometheus-client is not installed here: pip install 'celeriac[metrics]'."


def _well(status: str, less: str, **fields: Any) -> Answer:
    if less:
        return answer(HTTPStatus.OK, status="degraded", why=less, **fields)
    return answer(HTTPStatus.OK, status=status, **fields)


def routes(
    readiness: Readiness, metrics: Metrics | None, judgement: Callable[[], Judgement | None]
) -> dict[str, Route]:
    """Path -> what answers there. Without `metrics`, /metrics says what is missing. `judgement`: None before the worker
    consumes."""

    async def health() -> Answer:
        judged = judgement()
        if judged is None:
            return answer(HTTPStatus.OK, status="starting")
        wrong, less = judged
        if wrong:
            return answer(HTTPStatus.SERVICE_UNAVAILABLE, status="unhealthy", why=wrong)
        return _well("ok", less)

    async def ready() -> Answer:
        try:
            await asyncio.to_thread(readiness.check)
        except NotReady as exc:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", f"{exc}.")
        wrong, less = judgement() or (None, "")
        if wrong:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", f"{wrong}.")
        return _well("ready", less, queues=list(readiness.queues))

    async def show_metrics() -> Answer:
        if metrics is None:
            return problem(HTTPStatus.NOT_FOUND, "no_metrics", NO_METRICS)
        return Answer(HTTPStatus.OK, metrics.text(), METRICS_TYPE)

    return {"/health": health, "/ready": ready, "/metrics": show_metrics}
