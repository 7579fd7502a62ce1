"""Payloads and results: what travels between the services, as JSON objects."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid4

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from celeriac import Model, TaskPayload, TaskResult


def _refuse_floats(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError('an amount is text such as "12.50": floats lose cents')
    return value


Money = Annotated[
    Decimal,
    Field(gt=0, max_digits=14, decimal_places=2),  # right behind its type: pydantic checks it in Rust then
    BeforeValidator(_refuse_floats),
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(?=.*[1-9])\d{1,12}(\.\d{1,2})?$", "examples": ["25.00"]}),
]
# No spaces, no control and no invisible characters. Spelt out, as readers of patterns differ on what \s is.
VISIBLE = r"^[^\x00-\x20\x7F-\xA0\u1680\u2000-\u200F\u2028-\u202F\u205F-\u2064\u3000\uFEFF]+$"
Identifier = Annotated[str, StringConstraints(pattern=VISIBLE, max_length=128)]


class Priority(StrEnum):
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class OrderItem(Model):
    product_id: Identifier
    quantity: int = Field(ge=1, le=10_000, strict=True)


class OrderPayload(TaskPayload):
    named_by: ClassVar[str | None] = "order_id"

    order_id: UUID = Field(default_factory=uuid4)
    customer_id: Identifier
    items: tuple[OrderItem, ...] = Field(min_length=1, max_length=1_000)
    total_amount: Money
    priority: Priority = Priority.NORMAL


class OrderStatus(StrEnum):
    COMPLETED = "completed"


class OrderResult(TaskResult):
    order_id: UUID
    status: OrderStatus
    notification_id: UUID
    item_count: int
    total_amount: Money


class NotificationType(StrEnum):
    EMAIL = "EMAIL"
    SMS = "SMS"
    PUSH = "PUSH"


class NotificationPayload(TaskPayload):
    named_by: ClassVar[str | None] = "notification_id"

    notification_id: UUID = Field(default_factory=uuid4)
    recipient: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    notification_type: NotificationType
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    message: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    metadata: dict[str, str] = Field(default_factory=dict, max_length=50)

    @model_validator(mode="after")
    def _email_has_a_subject(self) -> Self:
        if self.notification_type is NotificationType.EMAIL and not self.subject:
            raise ValueError("an EMAIL needs a subject")
        return self


class NotificationStatus(StrEnum):
    DELIVERED = "delivered"


class NotificationResult(TaskResult):
    notification_id: UUID
    status: NotificationStatus
    delivered_at: AwareDatetime


class HealthResult(TaskResult):
    status: str
    worker: str
    timestamp: AwareDatetime
