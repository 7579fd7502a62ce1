"""What a worker answers over HTTP: /health, /ready, /metrics."""

import asyncio
from http import HTTPStatus

from celeriac.worker.endpoints import Answer, Route, answer, problem
from celeriac.worker.metrics import METRICS_TYPE, Metrics
from celeriac.worker.readiness import NotReady, Readiness

NO_METRICS = "prometheus-client is not installed here: pip install 'celeriac[metrics]'."


def routes(readiness: Readiness, metrics: Metrics | None) -> dict[str, Route]:
    """Path -> what answers there. Without `metrics`, /metrics says what is missing."""

    async def health() -> Answer:
        return answer(HTTPStatus.OK, status="ok")

    async def ready() -> Answer:
        try:
            await asyncio.to_thread(readiness.check)
        except NotReady as exc:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", f"{exc}.")
        return answer(HTTPStatus.OK, status="ready", queues=list(readiness.queues))

    async def show_metrics() -> Answer:
        if metrics is None:
            return problem(HTTPStatus.NOT_FOUND, "no_metrics", NO_METRICS)
        return Answer(HTTPStatus.OK, metrics.text(), METRICS_TYPE)

    return {"/health": health, "/ready": ready, "/metrics": show_metrics}
