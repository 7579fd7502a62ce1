"""The consumers: what this service does with the messages of its queue."""

from collections.abc import Callable
from datetime import UTC, datetime

from celeriac.contract.implementation import Implementation, implements
from common_tasks.schemas import NotificationPayload, NotificationResult, NotificationStatus
from common_tasks.tasks import send_notification
from service2.sink import Sink

SERVICE = "service2"

Count = Callable[[str, str], None]  # the type of a notification, and what became of it


def notifier(sink: Sink, count: Count) -> Implementation[NotificationPayload, NotificationResult]:
    """The owner of send_notification, delivering to this sink."""

    @implements(send_notification)
    def handle_notification(notification: NotificationPayload) -> NotificationResult:
        kind = notification.notification_type.value
        try:
            sink.deliver(notification, idempotency_key=str(notification.notification_id))
        except Exception:
            count(kind, "failed")
            raise
        count(kind, "delivered")
        return NotificationResult(
            notification_id=notification.notification_id,
            status=NotificationStatus.DELIVERED,
            delivered_at=datetime.now(UTC),
        )

    return handle_notification
