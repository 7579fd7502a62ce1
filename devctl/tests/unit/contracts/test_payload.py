from __future__ import annotations

from typing import Any

import pytest

from devctl.contracts.catalog import TaskContract
from devctl.contracts.payload import Wrong, checked, message
from shop.schemas import VISIBLE
from shop.tasks import CONTRACTS

ORDER, NOTIFICATION, HEALTH = (TaskContract.of(one) for one in CONTRACTS)


def order(**changes: Any) -> dict[str, Any]:
    item = {"product_id": "book", "quantity": 1}
    base = {"source_service": "tests", "customer_id": "c-1", "items": [item], "total_amount": "9.50"}
    return {key: value for key, value in (base | changes).items() if value is not ...}


def problems(value: Any, contract: TaskContract = ORDER) -> list[tuple[str, str, str]]:
    with pytest.raises(Wrong) as caught:
        checked(contract, value)
    return [(one.path, one.value, one.expected) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"items": [{"product_id": "b", "quantity": 0}]}, [("items.0.quantity", "0", "must be at least 1")]),
        ({"items": [{"product_id": "b", "quantity": 1.5}]}, [("items.0.quantity", "1.5", "must be a whole number")]),
        ({"items": [{"product_id": "b"}]}, [("items.0.quantity", "–", "is missing")]),
        ({"items": []}, [("items", "[]", "must have at least 1 entry")]),
        ({"items": "book"}, [("items", '"book"', "must be a list")]),
        ({"customer_id": ...}, [("customer_id", "–", "is missing")]),
        ({"customer_id": 7}, [("customer_id", "7", "must be text")]),
        ({"customer_id": "a b"}, [("customer_id", '"a b"', f"must look like {VISIBLE}")]),
        ({"priority": "high"}, [("priority", '"high"', "must be 'LOW', 'NORMAL' or 'HIGH'")]),
        ({"total_amount": "0"}, [("total_amount", '"0"', "must be more than 0")]),
        ({"total_amount": "1.005"}, [("total_amount", '"1.005"', "must have at most 2 decimal places")]),
        ({"timestamp": "2026-11-23T10:15:00"},
         [("timestamp", '"2026-11-23T10:15:00"', "must say its time zone, such as 2026-11-23T10:15:00Z")]),
        ({"custmer_id": 1}, [("custmer_id", "1", "is not a field: did you mean customer_id?")]),
        ({"items": [{"product_id": "b", "quantity": 1, "qty": 2}]},
         [("items.0.qty", "2", "is not a field; there are product_id, quantity")]),
    ],
)  # fmt: skip
def test_each_wrong_field_has_its_value_and_what_is_expected(
    changes: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert expected == problems(order(**changes))


def test_floats_are_no_money() -> None:
    ((path, value, expected),) = problems(order(total_amount=9.5))
    assert ("total_amount", "9.5") == (path, value)
    assert '"12.50"' in expected


def test_what_follows_from_another_error_is_not_told() -> None:
    found = problems(order(order_id="x", items=[{"product_id": "b", "quantity": 0}]))
    assert ["order_id", "items.0.quantity"] == [path for path, _, _ in found]


def test_a_rule_over_several_fields_speaks_in_its_own_words() -> None:
    value = {"source_service": "t", "recipient": "a@b", "notification_type": "EMAIL", "message": "hi"}
    ((path, _, expected),) = problems(value, NOTIFICATION)
    assert ("payload", "an EMAIL needs a subject") == (path, expected)


@pytest.mark.parametrize("value", [None, 1, "text", [], True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert "must be an object" == problems(value)[0][2]


def test_a_long_value_is_cut() -> None:
    ((_, value, _),) = problems(order(customer_id="x y" * 100))
    assert 40 == len(value)


def test_a_message_carries_the_payloads_own_id() -> None:
    made = message(ORDER, order(order_id="0190b3c2-7d61-4c3e-9a55-2b7e1d0f4a11"))
    assert "0190b3c2-7d61-4c3e-9a55-2b7e1d0f4a11" == made.task_id == made.args[0]["task_id"]
    assert ("tasks.process_order", "orders") == (made.task, made.queue)
    assert made.task_id == made.headers["x_correlation_id"]


def test_a_task_without_payload_takes_no_argument() -> None:
    assert () == message(HEALTH, None).args
