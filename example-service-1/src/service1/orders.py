"""An order as the outside sees it: what is sent in, what comes back, how far it is."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid4, uuid5

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from celeriac.payloads import Model
from common_tasks.schemas import Identifier, Money, OrderItem, OrderPayload, OrderResult, Priority

SERVICE = "service1"
KEYS = UUID("5f2b6c1e-93a4-4d0b-8a57-2f6de0c41b98")  # the namespace of idempotency keys: never to be changed

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

    def payload(self, idempotency_key: str | None = None) -> OrderPayload:
        """The same id for the same key, so that a repeat is the same piece of work."""
        return OrderPayload(
            order_id=uuid5(KEYS, idempotency_key) if idempotency_key else uuid4(),
            source_service=SERVICE,
            customer_id=self.customer_id,
            items=self.items,
            total_amount=self.total_amount,
            priority=self.priority,
        )


class OrderState(StrEnum):
    PENDING = "pending"
    STARTED = "started"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class OrderAccepted(Model):
    """The broker has confirmed the order; it will be worked on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"order_id": EXAMPLE_ID, "task_id": EXAMPLE_ID, "status": "pending"}]}
    )

    order_id: UUID
    task_id: UUID = Field(description="The same as order_id: one id for one piece of work.")
    status: OrderState = OrderState.PENDING


class Failure(Model):
    """Why an order failed, as far as it is anybody's business."""

    type: str = Field(examples=["ValidationError"])
    message: str = Field(examples=["The order was refused: it is not what the contract says."])


class OrderStatus(Model):
    """How far an order is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"order_id": EXAMPLE_ID, "status": "pending"},
                {"order_id": EXAMPLE_ID, "status": "succeeded", "result": EXAMPLE_RESULT},
            ]
        }
    )

    order_id: UUID
    status: OrderState
    result: OrderResult | None = Field(default=None, description="With succeeded.")
    error: Failure | None = Field(default=None, description="With failed.")
