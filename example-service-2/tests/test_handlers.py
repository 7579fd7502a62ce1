"""What is done with a notification."""

from uuid import uuid4

import pytest
import structlog

from celeriac.errors import TransientError
from common_tasks.schemas import NotificationPayload, NotificationStatus, NotificationType
from common_tasks.tasks import send_notification
from service2.handlers import DELIVERIES, notifier
from service2.sink import LogSink, masked


class Outbox:
    """A provider that sends once for each key, and sometimes is away."""

    def __init__(self):
        self.sent = {}
        self.problem = None

    def deliver(self, notification, idempotency_key):
        if self.problem:
            raise self.problem
        self.sent.setdefault(idempotency_key, notification)


@pytest.fixture
def notification():
    return NotificationPayload(
        source_service="worker",
        recipient="anna@example.com",
        notification_type=NotificationType.EMAIL,
        subject="Your order",
        message="It is confirmed; your code is hunter2.",
    )


@pytest.fixture
def counted(monkeypatch):
    events = []
    monkeypatch.setattr(DELIVERIES, "count", lambda *event: events.append(event))
    return events


def test_a_notification_is_delivered(notification, counted):
    outbox = Outbox()
    result = notifier(outbox)(notification)

    assert (notification.notification_id, NotificationStatus.DELIVERED) == (result.notification_id, result.status)
    assert result.delivered_at.tzinfo is not None
    assert {str(notification.notification_id): notification} == outbox.sent
    assert [("EMAIL", "delivered")] == counted


def test_the_same_one_again_has_the_same_key_and_is_sent_once(notification):
    outbox = Outbox()
    for _ in range(2):
        notifier(outbox)(notification)

    assert 1 == len(outbox.sent)


def test_two_notifications_have_two_keys(notification):
    outbox = Outbox()
    for one in (notification, notification.with_task_id(uuid4())):
        notifier(outbox)(one)

    assert 2 == len(outbox.sent)


def test_what_the_provider_says_goes_to_the_retry_policy(notification, counted):
    outbox = Outbox()
    outbox.problem = TransientError("the provider is away")

    with pytest.raises(TransientError, match="is away"):
        notifier(outbox)(notification)
    assert [("EMAIL", "failed")] == counted
    assert send_notification.retries.allows(outbox.problem, retries=4)
    assert not send_notification.retries.allows(outbox.problem, retries=5)


def test_it_owns_its_contract_and_nothing_else():
    assert send_notification == notifier(Outbox()).contract


def test_the_log_sink_writes_one_event_and_none_of_the_content(notification):
    with structlog.testing.capture_logs() as lines:
        LogSink().deliver(notification, idempotency_key=str(notification.notification_id))

    assert [
        {
            "event": "notification.delivered",
            "log_level": "info",
            "notification_id": str(notification.notification_id),
            "notification_type": "EMAIL",
            "recipient": "a***@example.com",
        }
    ] == lines


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("anna@example.com", "a***@example.com"),
        ("@", "***"),
        ("a@b@c", "a***@c"),
        ("+491701234567", "+4***"),
        ("c-1", "c***"),
        ("ab", "***"),
        ("x", "***"),
    ],
)
def test_a_recipient_is_shown_masked(recipient, shown):
    assert shown == masked(recipient)
