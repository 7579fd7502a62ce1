"""What /docs shows is what the API does."""

import re

from celeriac.http.errors import ErrorBody
from common_tasks.schemas import OrderPayload
from service1.handlers import EXAMPLE, OrderRequest


def schema(client):
    return client.get("/openapi.json").json()


def test_there_is_a_page_to_try_it(client):
    answer = client.get("/docs")

    assert 200 == answer.status_code
    assert "text/html" in answer.headers["content-type"]


def test_the_documented_example_is_accepted(client):
    operation = schema(client)["paths"]["/api/orders"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    assert EXAMPLE == example
    assert 202 == client.post("/api/orders", json=example).status_code


def test_the_correlation_id_is_described_beside_what_else_a_request_takes(client):
    paths = schema(client)["paths"]

    assert ["X-Correlation-ID", "Idempotency-Key"] == [
        one["name"] for one in paths["/api/orders"]["post"]["parameters"]
    ]
    assert {"order_id", "X-Correlation-ID"} == {
        one["name"] for one in paths["/api/orders/{order_id}"]["get"]["parameters"]
    }


def test_every_error_is_described_with_its_shape(client):
    paths = schema(client)["paths"]
    place, find = paths["/api/orders"]["post"]["responses"], paths["/api/orders/{order_id}"]["get"]["responses"]

    assert {"202", "400", "408", "409", "413", "415", "422", "503"} == set(place)
    assert {"200", "404", "422", "503"} == set(find)
    for response in (*place.values(), *find.values()):
        reference = response["content"]["application/json"]["schema"]["$ref"]
        assert response["description"]
        assert reference.endswith(("ErrorBody", "OrderAccepted", "OrderStatus"))
    assert "Location" in place["202"]["headers"]
    assert "Retry-After" in place["503"]["headers"]


def test_real_errors_have_the_documented_shape(api, client, body):
    answers = [client.post("/api/orders", json={}), client.get("/api/orders/1"), client.get("/nothing")]
    api.broker.availability._reason = "does not answer"
    answers.append(client.post("/api/orders", json=body))

    for answer in answers:
        assert ErrorBody.model_validate_json(answer.content).error
        assert re.fullmatch("[a-z_]+", answer.json()["error"])


def test_a_request_is_as_strict_as_the_contract():
    request, payload = OrderRequest.model_json_schema(), OrderPayload.model_json_schema()

    for name, field in request["properties"].items():
        known = payload["properties"][name]
        assert known == {key: value for key, value in field.items() if key in known}
    assert {"customer_id", "items", "total_amount", "priority"} == set(request["properties"])
