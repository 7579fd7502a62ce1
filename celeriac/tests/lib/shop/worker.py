"""python -m shop.worker: runs every task of the shop, until a SIGTERM."""

import os
import sys
from datetime import UTC, datetime

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker
from shop.schemas import (
    HealthResult,
    NotificationPayload,
    NotificationResult,
    NotificationStatus,
    NotificationType,
    OrderPayload,
    OrderResult,
    OrderStatus,
)
from shop.tasks import health_check, process_order, send_notification


@implements(process_order)
def handle_order(order: OrderPayload, outcome: Outcome) -> OrderResult:
    notification_id = outcome.publish(
        send_notification,
        NotificationPayload(
            source_service="shop",
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


@implements(send_notification)
def handle_notification(notification: NotificationPayload) -> NotificationResult:
    return NotificationResult(
        notification_id=notification.notification_id,
        status=NotificationStatus.DELIVERED,
        delivered_at=datetime.now(UTC),
    )


@implements(health_check)
def check_health(_: None) -> HealthResult:
    return HealthResult(status="healthy", worker=f"shop@{os.getpid()}", timestamp=datetime.now(UTC))


def main() -> int:
    log = environment.load(LogSettings)
    logs.configure("shop", log.level, log.format)
    app = make_worker("shop", [handle_order, handle_notification, check_health], environment.load(CelerySettings))
    return run_worker(app, environment.load(WorkerSettings))


if __name__ == "__main__":
    sys.exit(main())
