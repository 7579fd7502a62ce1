"""All routes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from service1 import idempotency
from service1.access import ACCEPTED, Access, internal_error
from service1.errors import ApiError, BrokerUnavailable, ErrorBody, invalid_request
from service1.handlers import Orders
from service1.limits import BodyLimit
from service1.metrics import Metrics
from service1.orders import EXAMPLE, OrderAccepted, OrderRequest, OrderStatus
from service1.strictjson import JsonRoute

VERSION = "0.1.0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PLACE_ERRORS = {
    400: "The body is not JSON, or the Idempotency-Key is not one.",
    409: "Another order was placed under this Idempotency-Key.",
    408: "The body did not arrive in time.",
    413: "The body is larger than 64 KiB.",
    415: "The body is not declared to be JSON.",
    422: "Fields are missing, unknown or wrong; each is named.",
    503: "The broker does not answer, or refuses, or too many orders wait (`queue_full`). Nothing was accepted, unless "
    "the error is `outcome_unknown`: then the same request with the same Idempotency-Key settles it.",
}
FIND_ERRORS = {
    404: "There is no such order, or it ended longer ago than results are kept (four hours, unless set otherwise).",
    422: "The id is not a UUID.",
    503: "The broker does not answer.",
}

LOCATION = {"description": "Where the status of the order is.", "schema": {"type": "string"}}
CORRELATION_ID = {
    "name": "X-Correlation-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Goes into the logs and messages of everything that this request causes, and comes back in the "
    f"response. Without one, or with one that does not look like `{ACCEPTED.pattern}`, a new one is made.",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": idempotency.PATTERN},
    "description": "A name for this order that the client makes up, such as a random UUID, and gives again with every "
    "repeat: the same request is one order then and gets one answer, however often and however many at once it is "
    "sent, for 24 hours. Another body under the same key is refused. Keys are shared by all clients.",
}
RETRY_AFTER = {"description": "Seconds after which there should be room, or an answer.", "schema": {"type": "integer"}}


class Alive(BaseModel):
    status: str = "ok"


def create_app(orders: Orders, close: Callable[[], Awaitable[None]] | None = None) -> ASGIApp:
    """The whole service, as an ASGI application."""
    metrics = Metrics()
    api = FastAPI(
        title="Orders",
        version=VERSION,
        description="Takes orders and hands them to the workers; tells how far they are.",
        lifespan=_closing(close),
        redoc_url=None,
    )
    api.router.route_class = JsonRoute
    _add_error_answers(api)

    @api.post(
        "/api/orders",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            202: {"headers": {"Location": LOCATION}},
            **_described(PLACE_ERRORS),
            503: {**_described(PLACE_ERRORS)[503], "headers": {"Retry-After": RETRY_AFTER}},
        },
        summary="Place an order",
        openapi_extra={
            "parameters": [CORRELATION_ID, IDEMPOTENCY_KEY],
            "requestBody": {"content": {"application/json": {"example": EXAMPLE}}},
        },
    )
    async def place_order(order: OrderRequest, request: Request, response: Response) -> OrderAccepted:
        """The order is accepted once the broker has confirmed it. `Location` says where to look how far it is."""
        payload = order.payload(idempotency.key(request.headers.getlist("idempotency-key")))
        try:
            new = await orders.place(payload)
        except (BrokerUnavailable, ApiError) as exc:
            metrics.order(exc.outcome if isinstance(exc, BrokerUnavailable) else "conflict")
            raise
        metrics.order("accepted" if new else "repeated")
        response.headers["Location"] = f"/api/orders/{payload.order_id}"
        return OrderAccepted(order_id=payload.order_id, task_id=payload.task_id)

    @api.get(
        "/api/orders/{order_id}",
        response_model_exclude_none=True,
        responses=_described(FIND_ERRORS),
        summary="How far an order is",
        openapi_extra={"parameters": [CORRELATION_ID]},
    )
    async def find_order(order_id: UUID) -> OrderStatus:
        """`pending`, `started`, `retrying`, `succeeded` with the result, or `failed` with a reason."""
        status = await orders.find(order_id)
        if status is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "order_not_found", f"There is no order {order_id}.")
        return status

    # These are coroutines, not plain functions: they answer from the event loop, however busy all threads are.
    @api.get("/health", summary="Alive", tags=["operation"])
    async def health() -> Alive:
        """Answers as long as this process lives, whatever the broker does."""
        return Alive()

    @api.get("/ready", summary="Can take orders", tags=["operation"], responses=_described({503: "It cannot; why."}))
    async def ready() -> Alive:
        """Answers 200 while the broker does."""
        await orders.check()
        return Alive(status="ready")

    @api.get("/metrics", summary="For Prometheus", tags=["operation"], response_class=Response)
    async def show_metrics() -> Response:
        return Response(metrics.text(), headers={"Content-Type": METRICS_TYPE})

    return Access(BodyLimit(api), metrics)


def _described(errors: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": text} for status, text in errors.items()}


def _add_error_answers(api: FastAPI) -> None:
    """Every error leaves in the shape of ErrorBody."""

    @api.exception_handler(ApiError)
    async def _api_error(_: Request, exc: ApiError) -> Response:
        return exc.response()

    @api.exception_handler(BrokerUnavailable)
    async def _unavailable(_: Request, exc: BrokerUnavailable) -> Response:
        return exc.answer().response()

    @api.exception_handler(RequestValidationError)
    async def _invalid(_: Request, exc: RequestValidationError) -> Response:
        return invalid_request(exc.errors()).response()

    @api.exception_handler(Exception)
    async def _bug(_: Request, __: Exception) -> Response:
        return internal_error().response()  # and raised on, to be logged by Access

    @api.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        status = HTTPStatus(exc.status_code)
        text = f"{request.method} {request.url.path[:200]}: {status.phrase}."
        return ApiError(status, status.name.lower(), text, headers=exc.headers).response()


def _closing(
    close: Callable[[], Awaitable[None]] | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if close is not None:
            await close()

    return lifespan
