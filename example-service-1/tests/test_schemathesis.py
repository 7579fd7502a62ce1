"""Everything that the OpenAPI document allows, and a good deal that it does not, asked of the whole application."""
# Schemathesis takes a second to import, and every process of the tests collects this file: so it is imported late.

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

OPERATIONS = [
    ("/api/orders", "POST"),
    ("/api/orders/{order_id}", "GET"),
    ("/health", "GET"),
    ("/ready", "GET"),
    ("/metrics", "GET"),
]
FEW = settings(
    max_examples=60,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Its defaults, and 413: a thousand and one items are more than a body may hold.
REFUSALS = [400, 404, 405, 406, 409, 413, 415, 422]


@pytest.fixture
def document(api: Any) -> Any:
    import schemathesis

    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
    return schemathesis.openapi.from_asgi("/openapi.json", api, config=config)


def ask(operation: Any, mode: str) -> None:
    from schemathesis import GenerationMode

    @seed(4)
    @FEW
    @given(operation.as_strategy(generation_mode=GenerationMode(mode)))
    def call(case: Any) -> None:
        case.call_and_validate()

    call()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_the_document_allows_is_answered_as_it_says(document: Any, path: str, method: str) -> None:
    ask(document[path][method], "positive")


@pytest.mark.parametrize(("path", "method"), OPERATIONS[:2])  # the others take nothing that could be wrong
def test_what_it_does_not_allow_is_refused_as_it_says(document: Any, path: str, method: str) -> None:
    ask(document[path][method], "negative")


def test_no_operation_is_left_out(document: Any) -> None:
    found = {(one.ok().path, one.ok().method.upper()) for one in document.get_all_operations()}
    assert set(OPERATIONS) == found
