"""GET /api/orders/{order_id}, and how Celery's entries are read."""

import json
from uuid import UUID, uuid4

import pytest

from service1 import results
from service1.orders import EXAMPLE_RESULT, OrderState

ID = UUID("0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11")


def entry(status, result=None, **more):
    return json.dumps(
        {"status": status, "result": result, "traceback": None, "children": [], "task_id": str(ID), **more}
    )


def error(kind, *texts, module="celeriac.errors"):
    stored = {"exc_type": kind, "exc_message": list(texts), "exc_module": module}
    return results.read(ID, entry("FAILURE", stored, traceback="Traceback: /app/secret.py")).error


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


def test_without_a_broker_nobody_knows(client, orders):
    orders.lose_the_broker()

    assert 503 == client.get(f"/api/orders/{ID}").status_code


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        ("PENDING", OrderState.PENDING),
        ("RECEIVED", OrderState.PENDING),
        ("STARTED", OrderState.STARTED),
        ("RETRY", OrderState.RETRYING),
        ("FAILURE", OrderState.FAILED),
        ("REVOKED", OrderState.FAILED),
    ],
)
def test_celerys_states_are_ours(stored, state):
    assert state == results.read(ID, entry(stored)).status


def test_what_a_worker_notes_while_it_runs_stays_inside():
    status = results.read(ID, entry("STARTED", {"pid": 7, "hostname": "worker@inside"}))

    assert {"order_id": str(ID), "status": "started"} == status.model_dump(mode="json", exclude_none=True)


def test_a_result_is_shown():
    status = results.read(ID, entry("SUCCESS", EXAMPLE_RESULT))

    assert EXAMPLE_RESULT == status.model_dump(mode="json")["result"]


def test_the_result_of_another_task_is_not_an_order():
    assert results.read(ID, entry("SUCCESS", {"status": "delivered"})) is None
    assert results.read(ID, entry("SUCCESS", {**EXAMPLE_RESULT, "order_id": str(uuid4())})) is None


@pytest.mark.parametrize("raw", ["", "7", "[]", "{}", '{"status": "?"}', "\x00", '{"status": ["SUCCESS"]}'])
def test_what_is_no_entry_is_no_order(raw):
    assert results.read(ID, raw) is None


def test_the_fields_that_were_wrong_are_told():
    told = error("ValidationError", "tasks.process_order was sent a wrong payload: items: Field required")

    assert "items: Field required" in told.message


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("PermanentError", "celeriac.errors"),
        ("TransientError", "celeriac.errors"),
        ("OperationalError", "psycopg"),
        ("ValidationError", "somewhere.else"),
    ],
)
def test_the_text_of_any_other_error_is_not_for_callers(kind, module):
    told = error(kind, "cannot reach postgres://shop:hunter2@10.0.0.7/orders", module=module)

    assert "hunter2" not in told.model_dump_json()
    assert "rder" in told.message


def test_a_failure_without_details_is_still_a_failure():
    for stored in (
        None,
        "boom",
        {},
        {"exc_type": None},
        {"exc_type": "ValidationError", "exc_module": "celeriac.errors"},
    ):
        assert results.failure(stored).message


def test_the_marker_reads_as_pending_here_and_in_stock_celery():
    marker = json.loads(results.marker(ID))

    assert OrderState.PENDING == results.read(ID, json.dumps(marker)).status
    assert ("PENDING", None, str(ID)) == (marker["status"], marker["result"], marker["task_id"])
