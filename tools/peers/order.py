"""The body of process_order for the peers: our payload and result models, the same checks, the same notification."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from shop.schemas import (
    NotificationPayload,
    NotificationType,
    OrderItem,
    OrderPayload,
    OrderResult,
    OrderStatus,
)

IDS = 0x5EED << 112  # an order's id is this plus its number


def payload(number: int) -> OrderPayload:
    """The order of this number."""
    return OrderPayload(
        source_service="peers",
        order_id=UUID(int=IDS + number),
        customer_id=f"customer-{number % 1000}",
        items=tuple(OrderItem(product_id=f"product-{line}", quantity=line + 1) for line in range(3)),
        total_amount="59.90",
    )


def number(order_id: UUID) -> int:
    """The number of an order."""
    return order_id.int - IDS


def process(raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The result and the notification, as JSON objects, and the order's number."""
    order = OrderPayload.model_validate(raw)
    notification = NotificationPayload(
        source_service="peers",
        notification_id=uuid5(order.task_id, "tasks.send_notification:0"),
        recipient=order.customer_id,
        notification_type=NotificationType.EMAIL,
        subject=f"Order {order.order_id}",
        message=f"Your order of {len(order.items)} items for {order.total_amount} is confirmed.",
        metadata={"order_id": str(order.order_id), "priority": order.priority},
    )
    result = OrderResult(
        order_id=order.order_id,
        status=OrderStatus.COMPLETED,
        notification_id=notification.notification_id,
        item_count=sum(item.quantity for item in order.items),
        total_amount=order.total_amount,
    )
    return result.model_dump(mode="json"), notification.model_dump(mode="json"), number(order.order_id)
