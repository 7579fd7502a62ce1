"""The publisher: an order as the outside sees it, placed and found."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from celeriac import Model
from celeriac.http import Failure, State, progress_of
from common_tasks.schemas import Identifier, Money, OrderItem, OrderPayload, OrderResult, Priority
from common_tasks.tasks import process_order
from service1.config import SERVICE

EXAMPLE: JsonDict = {
    "customer_id": "c-1",
    "items": [{"product_id": "p-1", "quantity": 2}],
    "total_amount": "25.00",
    "priority": "NORMAL",
}
EXAMPLE_ID = "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11"
EXAMPLE_RESULT: JsonDict = {
    "order_id": EXAMPLE_ID,
    "status": "completed",
    "notification_id": "7f1e3f0c-94c7-5d0e-8b5e-0f6a4a0e4f5b",
    "item_count": 2,
    "total_amount": "25.00",
}


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('an amount is text such as "12.50": numbers lose cents')
    return value


class OrderRequest(Model):
    """An order to be placed; its id, its time and who sent it are filled in here."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    customer_id: Identifier
    items: tuple[OrderItem, ...] = Field(min_length=1, max_length=1_000)
    total_amount: Annotated[Money, BeforeValidator(_text)] = Field(
        description="Decimal digits as text, at most two after the point. Numbers with a point lose cents."
    )
    priority: Priority = Priority.NORMAL


class OrderAccepted(Model):
    """The broker has confirmed the order; it will be worked on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"order_id": EXAMPLE_ID, "task_id": EXAMPLE_ID, "status": "pending"}]}
    )

    order_id: UUID
    task_id: UUID = Field(description="The same as order_id: one id for one piece of work.")
    status: State = State.PENDING


class OrderStatus(Model):
    """How far an order is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"order_id": EXAMPLE_ID, "status": "pending"},
                {"order_id": EXAMPLE_ID, "status": "started", "progress": 0.5, "note": "1 of 2 items"},
                {"order_id": EXAMPLE_ID, "status": "succeeded", "result": EXAMPLE_RESULT},
            ]
        }
    )

    order_id: UUID
    status: State
    progress: float | None = Field(default=None, ge=0, le=1, description="With started, where the worker says it.")
    note: str | None = Field(default=None, description="With progress: what it does.")
    result: OrderResult | None = Field(default=None, description="With succeeded.")
    error: Failure | None = Field(default=None, description="With failed.")


def place(order: OrderRequest, order_id: UUID) -> OrderAccepted:
    """Publish it. Raises PublishError or Conflict, which become answers: `celeriac.http.answers`."""
    payload = OrderPayload(
        order_id=order_id,
        source_service=SERVICE,
        customer_id=order.customer_id,
        items=order.items,
        total_amount=order.total_amount,
        priority=order.priority,
    )
    process_order.delay(payload)
    return OrderAccepted(order_id=order_id, task_id=payload.task_id)


def find(order_id: UUID) -> OrderStatus | None:
    """How far it is; None if there is no such order."""
    found = progress_of(process_order, order_id)
    if found is None or (found.result is not None and found.result.order_id != order_id):
        return None
    return OrderStatus(
        order_id=order_id,
        status=found.state,
        progress=found.progress,
        note=found.note,
        result=found.result,
        error=found.failure,
    )
