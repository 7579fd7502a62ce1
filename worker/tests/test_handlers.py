from decimal import Decimal
from uuid import UUID

from celeriac.contract.outcome import Outcome
from common_tasks.schemas import NotificationPayload, NotificationType, OrderItem, OrderPayload, OrderStatus
from common_tasks.tasks import send_notification
from worker.handlers import check_health, handle_order

ID = UUID("5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4")


def order() -> OrderPayload:
    return OrderPayload(
        order_id=ID,
        source_service="service1",
        customer_id="c-1",
        items=(OrderItem(product_id="a", quantity=2), OrderItem(product_id="b", quantity=1)),
        total_amount=Decimal("12.50"),
    )


def test_an_order_is_completed_and_its_customer_notified() -> None:
    outcome = Outcome(ID)
    result = handle_order(order(), outcome)
    assert (ID, OrderStatus.COMPLETED, 3, Decimal("12.50")) == (
        result.order_id,
        result.status,
        result.item_count,
        result.total_amount,
    )
    (child,) = outcome.children
    assert child.contract is send_notification
    assert isinstance(child.payload, NotificationPayload)
    assert (NotificationType.EMAIL, "c-1") == (child.payload.notification_type, child.payload.recipient)
    assert result.notification_id == child.payload.notification_id == child.payload.task_id


def test_the_same_order_gives_the_same_notification() -> None:
    assert handle_order(order(), Outcome(ID)) == handle_order(order(), Outcome(ID))


def test_the_longest_order_still_makes_a_notification() -> None:
    long = order().model_copy(update={"customer_id": "c" * 128, "total_amount": Decimal("999999999999.99")})
    assert handle_order(long, Outcome(ID)).notification_id


def test_health_is_told() -> None:
    assert ("healthy", "worker") == ((result := check_health(None)).status, result.worker)
