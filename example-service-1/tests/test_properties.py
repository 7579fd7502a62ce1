"""Whatever is sent in, nobody sees a 5xx, and every error has the one shape."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.http.errors import ErrorBody

MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "0", "-0", "1e400", "NaN", "25.00", "c-1", "\0", "\ud800", "NORMAL", "9" * 400, 10**400])
)
anything: Any = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
items = st.lists(
    st.fixed_dictionaries({}, optional={"product_id": anything, "quantity": anything, "x": anything}), max_size=3
)
almost_orders = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": anything | st.just("c-1"),
        "items": items | st.just([{"product_id": "p", "quantity": 1}]) | anything,
        "total_amount": anything | st.decimals().map(str) | st.just("25.00"),
        "priority": anything | st.sampled_from(["LOW", "NORMAL", "HIGH"]),
        "task_id": anything,
    },
)


def check(client: Any, content: bytes, kind: str = "application/json") -> None:
    answer = client.post("/api/orders", content=content, headers={"Content-Type": kind})
    if answer.status_code == 202:
        assert answer.json()["order_id"] in answer.headers["location"]
    else:
        assert answer.status_code in {400, 413, 415, 422}
        assert ErrorBody.model_validate_json(answer.content).message
    assert "" != answer.headers["x-correlation-id"]


@given(almost_orders | anything)
@MANY
def test_almost_orders_never_break_it(client, value):
    check(client, json.dumps(value).encode())


@given(st.binary(max_size=2_000))
@MANY
def test_any_bytes_never_break_it(client, raw):
    check(client, raw)


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60))
@MANY
def test_any_content_type_never_breaks_it(client, kind):
    answer = client.post("/api/orders", content=b"{}", headers={"Content-Type": kind.encode("latin-1")})
    assert answer.status_code in {415, 422}


@given(st.text(max_size=80))
@MANY
def test_any_order_id_never_breaks_it(client, text):
    answer = client.get(f"/api/orders/{quote(text.encode('utf-8', 'surrogatepass'), safe='')}")
    assert answer.status_code in {404, 405, 422, 307}
