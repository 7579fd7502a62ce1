"""The routes. Strict JSON, limits, error answers, probes and metrics are celeriac.http's."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from celeriac import CelerySettings
from celeriac.http import (
    CORRELATION_ID,
    IDEMPOTENCY_KEY,
    Api,
    ApiError,
    IdempotencyKeys,
    accepted_responses,
    error_responses,
)
from common_tasks.tasks import process_order
from service1 import handlers
from service1.config import ORDER_KEYS, SERVICE
from service1.handlers import EXAMPLE, OrderAccepted, OrderRequest, OrderStatus

VERSION = "0.1.0"
FIND_ERRORS = {
    404: "There is no such order, or it ended longer ago than results are kept (four hours, unless set otherwise).",
    422: "The id is not a UUID.",
    503: "The broker does not answer.",
}

OrderId = Annotated[UUID, Depends(IdempotencyKeys(ORDER_KEYS))]


def create_api(settings: CelerySettings | None = None) -> Api:
    """The whole service. Without `settings`, the environment is read; raises SettingsError."""
    api = Api(
        SERVICE,
        [process_order],
        settings,
        title="Orders",
        version=VERSION,
        description="Takes orders and hands them to the workers; tells how far they are.",
    )

    @api.post(
        "/api/orders",
        status_code=HTTPStatus.ACCEPTED,
        responses=accepted_responses(),
        summary="Place an order",
        openapi_extra={
            "parameters": [CORRELATION_ID, IDEMPOTENCY_KEY],
            "requestBody": {"content": {"application/json": {"example": EXAMPLE}}},
        },
    )
    def place_order(order: OrderRequest, order_id: OrderId, response: Response) -> OrderAccepted:
        """The order is accepted once the broker has confirmed it. `Location` says where to look how far it is."""
        placed = handlers.place(order, order_id)
        response.headers["Location"] = f"/api/orders/{order_id}"
        return placed

    @api.get(
        "/api/orders/{order_id}",
        response_model_exclude_none=True,
        responses=error_responses(FIND_ERRORS),
        summary="How far an order is",
        openapi_extra={"parameters": [CORRELATION_ID]},
    )
    def find_order(order_id: UUID) -> OrderStatus:
        """`pending`, `started`, `retrying`, `succeeded` with the result, or `failed` with a reason."""
        found = handlers.find(order_id)
        if found is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "order_not_found", f"There is no order {order_id}.")
        return found

    return api
