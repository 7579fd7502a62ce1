"""Three contracts: with a follow-up task, without a result that anybody reads, and without a payload."""

from types import NoneType
from typing import Any

from celeriac import Contract, RetryPolicy
from shop.schemas import HealthResult, NotificationPayload, NotificationResult, OrderPayload, OrderResult

process_order = Contract(
    name="tasks.process_order",
    queue="orders",
    payload=OrderPayload,
    result=OrderResult,
    retries=RetryPolicy(limit=3, cap_seconds=30),
)
send_notification = Contract(
    name="tasks.send_notification",
    queue="notifications",
    payload=NotificationPayload,
    result=NotificationResult,
    retries=RetryPolicy(limit=5, cap_seconds=60),
    record_seconds=3600,
)
health_check: Contract[None, HealthResult] = Contract(
    name="tasks.health_check", queue="default", payload=NoneType, result=HealthResult, record_seconds=None
)

CONTRACTS: tuple[Contract[Any, Any], ...] = (process_order, send_notification, health_check)
