"""POST /api/orders, with what is right and what is wrong about it."""

from decimal import Decimal

import pytest

PATH = "/api/orders"


def fields(answer):
    return {one["field"]: one["message"] for one in answer.json()["fields"]}


def test_an_order_is_accepted_and_says_where_to_look(client, placed, body):
    answer = client.post(PATH, json=body)
    order = placed()[0]

    assert 202 == answer.status_code
    assert f"/api/orders/{order.order_id}" == answer.headers["location"]
    assert {"order_id": str(order.order_id), "task_id": str(order.order_id), "status": "pending"} == answer.json()


def test_the_server_fills_in_what_the_caller_leaves_out(client, placed, body):
    del body["priority"]
    client.post(PATH, json=body)
    order = placed()[0]

    assert ("service1", "c-1", Decimal("25.00"), "NORMAL") == (
        order.source_service,
        order.customer_id,
        order.total_amount,
        order.priority,
    )
    assert order.order_id == order.task_id
    assert order.timestamp.tzinfo is not None


def test_two_orders_have_two_ids(client, placed, body):
    assert client.post(PATH, json=body).json()["order_id"] != client.post(PATH, json=body).json()["order_id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customer_id", ""),
        ("customer_id", " "),
        ("customer_id", "x" * 129),
        ("customer_id", 7),
        ("customer_id", None),
        ("items", []),
        ("items", "p-1"),
        ("items", [{"product_id": "p", "quantity": 1}] * 1_001),
        ("total_amount", "0"),
        ("total_amount", "-1"),
        ("total_amount", 19.99),
        ("total_amount", "1.234"),
        ("total_amount", "1" * 30),
        ("total_amount", "NaN"),
        ("total_amount", "Infinity"),
        ("total_amount", "1e999999"),
        ("total_amount", True),
        ("total_amount", 10**90),
        ("priority", "high"),
        ("priority", 1),
        ("order_id", "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11"),
        ("source_service", "somebody"),
        ("surprise", 1),
    ],
)
def test_a_wrong_field_is_named(client, placed, body, field, value):
    answer = client.post(PATH, json={**body, field: value})

    assert 422 == answer.status_code
    assert {"invalid_request", "1 field is wrong."} == {answer.json()["error"], answer.json()["message"]}
    assert [field] == list(fields(answer))
    assert [] == placed()


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"product_id": "p"}, "items.1.quantity"),
        ({"quantity": 1}, "items.1.product_id"),
        ({"product_id": "p", "quantity": 0}, "items.1.quantity"),
        ({"product_id": "p", "quantity": 10_001}, "items.1.quantity"),
        ({"product_id": "p", "quantity": 1.5}, "items.1.quantity"),
        ({"product_id": "p", "quantity": "1"}, "items.1.quantity"),
        ({"product_id": "p", "quantity": True}, "items.1.quantity"),
        ({"product_id": "p", "quantity": 10**80}, "items.1.quantity"),
        ({"product_id": "p", "quantity": 1, "colour": "red"}, "items.1.colour"),
        ("p", "items.1"),
    ],
)
def test_a_wrong_item_is_named_by_its_place(client, body, item, field):
    body["items"][1] = item

    assert [field] == list(fields(client.post(PATH, json=body)))


def test_a_whole_number_may_have_a_point_as_json_schema_has_it(client, placed, body):
    assert 202 == client.post(PATH, json={**body, "items": [{"product_id": "p", "quantity": 2.0}]}).status_code
    assert 2 == placed()[0].items[0].quantity


def test_every_wrong_field_is_named_at_once(client, body):
    answer = client.post(PATH, json={"items": [{"product_id": "", "quantity": 0}], "total_amount": "0"})

    assert ["customer_id", "items.0.product_id", "items.0.quantity", "total_amount"] == list(fields(answer))


def test_a_thousand_wrong_fields_make_a_short_answer(client, body):
    body["items"] = [{"product_id": "p", "quantity": 0}] * 1_000
    answer = client.post(PATH, json=body)

    assert "1000 fields are wrong." == answer.json()["message"]
    assert 20 == len(fields(answer))


def test_values_are_not_repeated(client, body):
    assert "hunter2" not in client.post(PATH, json={**body, "customer_id": "hunter2 " * 3}).text


def test_a_body_that_is_not_an_object_is_wrong_as_a_whole(client):
    for text in ("[]", "7", '"order"', "null"):
        answer = client.post(PATH, content=text, headers={"Content-Type": "application/json"})
        assert (422, ["body"]) == (answer.status_code, list(fields(answer)))


def place(client, body, key):
    return client.post(PATH, json=body, headers={"Idempotency-Key": key})


def test_the_same_request_under_one_key_is_one_order_with_one_answer(client, placed, body):
    answers = [place(client, body, "order of Tuesday, no. 7") for _ in range(3)]

    assert {202} == {one.status_code for one in answers}
    assert 1 == len({one.content for one in answers}) == len({one.headers["location"] for one in answers})
    assert 1 == len(placed())


def test_the_id_of_a_key_is_the_same_in_every_process_and_version(client, body):
    assert "bdfb346d-b9b6-55c1-bd95-1dcf9946f7be" == place(client, body, "k").json()["order_id"]


def test_what_is_left_out_is_the_same_as_what_it_stands_for(client, placed, body):
    place(client, {**body, "priority": "NORMAL"}, "k")
    del body["priority"]

    assert 202 == place(client, body, "k").status_code
    assert 1 == len(placed())


def test_another_body_under_the_key_is_refused(client, placed, body):
    place(client, body, "k")
    answer = place(client, {**body, "total_amount": "25.01"}, "k")

    assert (409, "idempotency_conflict") == (answer.status_code, answer.json()["error"])
    assert 1 == len(placed())


def test_other_keys_and_none_are_other_orders(client, placed, body):
    ids = {place(client, body, key).json()["order_id"] for key in ("k", "K", "x" * 255)}
    ids |= {client.post(PATH, json=body).json()["order_id"] for _ in range(2)}

    assert 5 == len(ids) == len(placed())
