"""The bodies of the tasks that this service owns."""

import os
import platform
from datetime import UTC, datetime

from celeriac import Outcome, implements
from common_tasks.schemas import (
    HealthResult,
    NotificationPayload,
    NotificationType,
    OrderPayload,
    OrderResult,
    OrderStatus,
)
from common_tasks.tasks import health_check, process_order, send_notification
from worker.config import SERVICE


@implements(process_order)
def handle_order(order: OrderPayload, outcome: Outcome) -> OrderResult:
    """Where the business goes. What it wants to happen elsewhere it publishes through its outcome."""
    notification_id = outcome.publish(
        send_notification,
        NotificationPayload(
            source_service=SERVICE,
            recipient=order.customer_id,
            notification_type=NotificationType.EMAIL,
            subject=f"Order {order.order_id}",
            message=f"Your order of {len(order.items)} items for {order.total_amount} is confirmed.",
            metadata={"order_id": str(order.order_id), "priority": order.priority},
        ),
    )
    return OrderResult(
        order_id=order.order_id,
        status=OrderStatus.COMPLETED,
        notification_id=notification_id,
        item_count=sum(item.quantity for item in order.items),
        total_amount=order.total_amount,
    )


@implements(health_check)
def check_health(_: None) -> HealthResult:
    """Says that a worker takes tasks, and which."""
    worker = f"{SERVICE}@{platform.node()}-{os.getpid()}"
    return HealthResult(status="healthy", worker=worker, timestamp=datetime.now(UTC))
