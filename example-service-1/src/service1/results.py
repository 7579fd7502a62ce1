"""What Celery stores about a task, read as the status of an order.

An entry is there from the moment the order is published (our marker: PENDING) until long after it is done, so that an
id without an entry is an unknown order, not one that is pending for ever.
"""

import json
from typing import Any
from uuid import UUID

import pydantic

from celeriac.publish.outgoing import MARKER_MS
from common_tasks.schemas import OrderResult
from service1.orders import Failure, OrderState, OrderStatus

MARKER_SECONDS = MARKER_MS // 1000

STATES = {
    "PENDING": OrderState.PENDING,
    "RECEIVED": OrderState.PENDING,
    "STARTED": OrderState.STARTED,
    "RETRY": OrderState.RETRYING,
    "SUCCESS": OrderState.SUCCEEDED,
    "FAILURE": OrderState.FAILED,
    "REVOKED": OrderState.FAILED,
}

# The text of any other error was written for us, not for callers: it may name hosts, paths, other people's orders.
MESSAGES = {
    "PermanentError": "The order was refused; sending it again will not help.",
    "TransientError": "The order could not be processed in several attempts; sending it again may help.",
    "TaskRevokedError": "The order was cancelled.",
}
OTHER = "The order could not be processed."
LONGEST_TEXT = 500


def key(order_id: UUID) -> str:
    """Where stock Celery keeps the result of this task in Redis."""
    return f"celery-task-meta-{order_id}"


def marker(order_id: UUID) -> bytes:
    """The entry of an order that nobody has started, as stock result readers expect it."""
    entry: dict[str, Any] = {
        "status": "PENDING",
        "result": None,
        "traceback": None,
        "children": [],
        "date_done": None,
        "task_id": str(order_id),
    }
    return json.dumps(entry).encode()


def read(order_id: UUID, raw: bytes | str) -> OrderStatus | None:
    """The status that this entry tells; none if it is not the entry of an order."""
    entry = _entry(raw)
    state = STATES.get(str(entry.get("status")))
    if state is None:
        return None
    if state is OrderState.SUCCEEDED:
        try:
            result = OrderResult.model_validate(entry.get("result"))
        except pydantic.ValidationError:
            return None  # the id of some other task
        return OrderStatus(order_id=order_id, status=state, result=result) if result.order_id == order_id else None
    error = failure(entry.get("result")) if state is OrderState.FAILED else None
    return OrderStatus(order_id=order_id, status=state, error=error)


def failure(stored: Any) -> Failure:
    """What a caller may know of an error."""
    stored = stored if isinstance(stored, dict) else {}
    kind = str(stored.get("exc_type") or "Error")
    if kind == "ValidationError" and stored.get("exc_module") == "celeriac.errors":
        texts = stored.get("exc_message")
        text = texts[0] if isinstance(texts, list) and texts else OTHER
        return Failure(type=kind, message=str(text)[:LONGEST_TEXT])  # it names fields, never values
    if kind in MESSAGES:
        return Failure(type=kind, message=MESSAGES[kind])
    return Failure(type="Error", message=OTHER)


def _entry(raw: bytes | str) -> dict[str, Any]:
    try:
        entry = json.loads(raw)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
