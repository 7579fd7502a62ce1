"""GET /api/orders/{order_id}."""

import json
from uuid import uuid4

import pytest
import redis

from service1.handlers import EXAMPLE_ID, EXAMPLE_RESULT


@pytest.fixture
def store(redis_server):
    """Stores what a worker would."""

    def write(status, result):
        entry = {"status": status, "result": result, "traceback": None, "children": [], "task_id": EXAMPLE_ID}
        with redis.Redis(port=redis_server.port) as client:
            client.set(f"celery-task-meta-{EXAMPLE_ID}", json.dumps(entry))

    return write


def test_a_placed_order_is_pending(client, body):
    location = client.post("/api/orders", json=body).headers["location"]
    answer = client.get(location)

    assert 200 == answer.status_code
    assert {"order_id": location.rsplit("/", 1)[1], "status": "pending"} == answer.json()


def test_an_unknown_order_is_not_pending_for_ever(client):
    answer = client.get(f"/api/orders/{uuid4()}")

    assert (404, "order_not_found") == (answer.status_code, answer.json()["error"])


def test_an_id_that_is_none_is_named(client):
    answer = client.get("/api/orders/4711")

    assert (422, "order_id") == (answer.status_code, answer.json()["fields"][0]["field"])


def test_without_a_broker_nobody_knows(api, client):
    api.broker.availability._reason = "does not answer"

    assert 503 == client.get(f"/api/orders/{EXAMPLE_ID}").status_code


def test_a_result_is_shown(client, store):
    store("SUCCESS", EXAMPLE_RESULT)

    assert {"order_id": EXAMPLE_ID, "status": "succeeded", "result": EXAMPLE_RESULT} == client.get(
        f"/api/orders/{EXAMPLE_ID}"
    ).json()


def test_a_failure_is_shown_without_what_is_not_for_callers(client, store):
    store("FAILURE", {"exc_type": "OperationalError", "exc_module": "psycopg", "exc_message": ["hunter2"]})
    answer = client.get(f"/api/orders/{EXAMPLE_ID}").json()

    assert ("failed", {"type": "Error", "message": "The work could not be done."}) == (
        answer["status"],
        answer["error"],
    )


@pytest.mark.parametrize("result", [{"status": "delivered"}, {**EXAMPLE_RESULT, "order_id": str(uuid4())}])
def test_the_result_of_another_task_is_not_an_order(client, store, result):
    store("SUCCESS", result)

    assert 404 == client.get(f"/api/orders/{EXAMPLE_ID}").status_code
