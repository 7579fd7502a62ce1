"""Where notifications leave the house. A real provider takes the place of LogSink."""

from typing import Protocol

import structlog

from common_tasks.schemas import NotificationPayload

log = structlog.get_logger("service2.sink")


class Sink(Protocol):
    def deliver(self, notification: NotificationPayload, idempotency_key: str) -> None:
        """Give it to the provider, and return when the provider has it.

        A task runs at least once: the same notification can come again, after a crash between this call and its
        acknowledgement. The key is the same then (the notification_id, kept by every retry); pass it on, so that the
        provider sends once. One that takes no such key may send twice, and nothing on this side can prevent that.

        Raise TransientError for what may work later, PermanentError for what never will."""


class LogSink:
    """Delivers into the log. Harmless when repeated."""

    def deliver(self, notification: NotificationPayload, idempotency_key: str) -> None:
        log.info(
            "notification.delivered",
            notification_id=idempotency_key,
            notification_type=notification.notification_type.value,
            recipient=masked(notification.recipient),
        )


def masked(recipient: str) -> str:
    """Enough to recognise, too little to use: a***@example.com, +4***, c***."""
    name, at, host = recipient.rpartition("@")
    if at and name:
        return f"{name[0]}***@{host}"
    return recipient[: min(2, len(recipient) // 3)] + "***"
