"""The consumer: what this service does with the messages of its queue."""

from datetime import UTC, datetime

from celeriac import EventCounter, Implementation, implements
from common_tasks.schemas import NotificationPayload, NotificationResult, NotificationStatus, NotificationType
from common_tasks.tasks import send_notification
from service2.sink import LogSink, Sink

DELIVERIES = EventCounter(
    "notifications", "Attempts to deliver.", notification_type=NotificationType, outcome=("delivered", "failed")
)


def notifier(sink: Sink) -> Implementation[NotificationPayload, NotificationResult]:
    """The owner of send_notification, delivering to this sink."""

    @implements(send_notification)
    def handle_notification(notification: NotificationPayload) -> NotificationResult:
        kind = notification.notification_type
        try:
            sink.deliver(notification, idempotency_key=str(notification.notification_id))
        except Exception:
            DELIVERIES.count(kind, "failed")
            raise
        DELIVERIES.count(kind, "delivered")
        return NotificationResult(
            notification_id=notification.notification_id,
            status=NotificationStatus.DELIVERED,
            delivered_at=datetime.now(UTC),
        )

    return handle_notification


handle_notification = notifier(LogSink())
