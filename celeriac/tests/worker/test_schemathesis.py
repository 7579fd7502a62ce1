"""The probes, asked by who knows what they promise, and in ways that nobody promised an answer to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from celeriac.worker.endpoints import Endpoints, listen
from celeriac.worker.metrics import METRICS_TYPE, Metrics
from celeriac.worker.probes import routes

READY = {
    "type": "object",
    "required": ["status", "queues"],
    "properties": {"status": {"const": "ready"}, "queues": {"type": "array", "items": {"type": "string"}}},
}


def json_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "See README.md.", "content": {"application/json": {"schema": schema}}}


# There is no document of it: three GETs without parameters. This is what README.md says of them.
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "worker", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": {"200": json_of({"properties": {"status": {"const": "ok"}}})}}},
        "/ready": {"get": {"responses": {"200": json_of(READY)}}},
        "/metrics": {
            "get": {"responses": {"200": {"description": "For Prometheus.", "content": {METRICS_TYPE: {"schema": {}}}}}}
        },
    },
}
FEW = settings(
    max_examples=20,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Ready:
    """Always: a 503 is what schemathesis calls a failure."""

    queues = ("notifications",)

    def check(self) -> None:
        pass


@pytest.fixture(scope="module")
def document() -> Any:
    import schemathesis  # takes a second, and every process of the tests collects this file

    listener = listen("127.0.0.1", 0)
    readiness: Any = Ready()
    metrics = Metrics(SimpleNamespace(tasks=("mail",)), lambda: True)
    Endpoints(listener, routes(readiness, metrics, lambda: (None, ""))).start()
    document = schemathesis.openapi.from_dict(DOCUMENT)
    document.config.update(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    return document


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_the_probes_answer_as_they_promise(document: Any, path: str) -> None:
    @seed(4)
    @FEW
    @given(document[path]["GET"].as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate()

    ask()
