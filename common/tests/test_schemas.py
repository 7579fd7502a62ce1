from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter, ValidationError

from common_tasks.schemas import NotificationPayload, NotificationType, OrderItem, OrderPayload, Priority

ID = UUID("5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4")


def order(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "source_service": "service1",
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}],
        "total_amount": "12.50",
    }
    return {name: value for name, value in (data | changes).items() if value is not ...}


def notification(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "source_service": "worker",
        "recipient": "c-1@example.org",
        "notification_type": "EMAIL",
        "subject": "Your order",
        "message": "It is on its way.",
    }
    return {name: value for name, value in (data | changes).items() if value is not ...}


def test_an_order_survives_json_unchanged() -> None:
    payload = OrderPayload.model_validate(order())
    assert OrderPayload.model_validate_json(payload.model_dump_json()) == payload


def test_money_is_text_in_json() -> None:
    assert OrderPayload.model_validate(order(total_amount="1E+2")).model_dump(mode="json")["total_amount"] == "100"


def test_an_order_is_built_in_python_with_models_and_decimals() -> None:
    item = OrderItem(product_id="p", quantity=1)
    payload = OrderPayload(source_service="s", customer_id="c", items=(item,), total_amount=Decimal("0.01"))
    assert (payload.items, payload.priority) == ((item,), Priority.NORMAL)


def test_the_order_id_is_the_task_id_whichever_is_given() -> None:
    both = [OrderPayload.model_validate(order(**{name: str(ID)})) for name in ("order_id", "task_id")]
    assert [(ID, ID)] * 2 == [(payload.task_id, payload.order_id) for payload in both]
    assert (fresh := OrderPayload.model_validate(order())).order_id == fresh.task_id


def test_two_different_ids_for_one_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be equal"):
        OrderPayload.model_validate(order(order_id=str(ID), task_id=str(uuid4())))


def test_a_payload_takes_another_id_under_both_names() -> None:
    renamed = OrderPayload.model_validate(order()).with_task_id(ID)
    assert (renamed.task_id, renamed.order_id) == (ID, ID)


def test_the_default_time_is_aware_and_now() -> None:
    payload = OrderPayload.model_validate(order())
    assert abs((datetime.now(UTC) - payload.timestamp).total_seconds()) < 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer_id": ...}, "customer_id"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "a b"}, "customer_id"),
        ({"customer_id": "x" * 129}, "customer_id"),
        ({"unknown": 1}, "unknown"),
        ({"items": []}, "items"),
        ({"items": [{"product_id": "p", "quantity": 0}]}, "quantity"),
        ({"items": [{"product_id": "p", "quantity": 1.0}]}, "quantity"),
        ({"items": [{"product_id": "p", "quantity": True}]}, "quantity"),
        ({"items": [{"product_id": "p", "quantity": 10_001}]}, "quantity"),
        ({"items": [{"product_id": "p", "quantity": 1, "price": 2}]}, "price"),
        ({"total_amount": 12.5}, "total_amount"),
        ({"total_amount": True}, "total_amount"),
        ({"total_amount": "0"}, "total_amount"),
        ({"total_amount": "-1"}, "total_amount"),
        ({"total_amount": "NaN"}, "total_amount"),
        ({"total_amount": "Infinity"}, "total_amount"),
        ({"total_amount": "0.001"}, "total_amount"),
        ({"total_amount": "1234567890123"}, "total_amount"),
        ({"priority": "high"}, "priority"),
        ({"task_id": "7"}, "task_id"),
        ({"timestamp": "2026-11-23T10:00:00"}, "timestamp"),
        ({"source_service": ...}, "source_service"),
        ({"source_service": "Service 1"}, "source_service"),
    ],
)
def test_a_wrong_order_is_refused_and_the_field_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OrderPayload.model_validate(order(**changes))
    assert field in {str(part) for error in caught.value.errors() for part in error["loc"]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"subject": ...}, "an EMAIL needs a subject"),
        ({"message": "x" * 10_001}, "message"),
        ({"message": ""}, "message"),
        ({"notification_type": "FAX"}, "notification_type"),
        ({"metadata": {"a": 1}}, "metadata"),
    ],
)
def test_a_wrong_notification_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        NotificationPayload.model_validate(notification(**changes))


def test_only_an_email_needs_a_subject() -> None:
    sms = NotificationPayload.model_validate(notification(notification_type="SMS", subject=...))
    assert (sms.notification_type, sms.subject) == (NotificationType.SMS, None)


def test_a_payload_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        OrderPayload.model_validate(order()).customer_id = "other"  # type: ignore[misc]


def test_an_order_of_yesterday_is_still_read() -> None:
    """The shape as it went out first; whoever changes it breaks what lies in queues."""
    yesterday = {
        "task_id": "5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4",
        "timestamp": "2026-11-23T10:00:00Z",
        "source_service": "service1",
        "order_id": "5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4",
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}],
        "total_amount": "12.50",
        "priority": "NORMAL",
    }
    assert yesterday == TypeAdapter(OrderPayload).dump_python(OrderPayload.model_validate(yesterday), mode="json")
