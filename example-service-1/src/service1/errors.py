"""What a caller can be told: one body for every error.

Exception
├── ApiError              an answer that is not a success
└── BrokerUnavailable     nothing was accepted; the same request may work later
    ├── QueueFull         the broker is fine, its queue is at its bound
    └── OutcomeUnknown    the broker fell silent in the very moment of the hand-over
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel, Field

from celeriac import correlation

# A request can be wrong in thousands of places; the first ones are enough to begin with.
MOST_FIELDS = 20
LONGEST_TEXT = 200


class WrongField(BaseModel):
    field: str = Field(examples=["items.0.quantity"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class ErrorBody(BaseModel):
    """Every error of this API looks like this."""

    error: str = Field(description="Which error; does not change between versions.", examples=["invalid_request"])
    message: str = Field(description="What is wrong and what to do, for people.")
    correlation_id: str | None = Field(default=None, description="Find this request in the logs by it.")
    fields: list[WrongField] | None = Field(default=None, description="With 422: each field and what is wrong with it.")
    order_id: str | None = Field(default=None, description="With outcome_unknown: the order that may exist.")


class ApiError(Exception):
    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        fields: Sequence[WrongField] = (),
        order_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.headers = dict(headers or {})
        self.body = ErrorBody(
            error=error,
            message=message,
            correlation_id=correlation.current(),
            fields=list(fields)[:MOST_FIELDS] or None,
            order_id=order_id,
        )

    def response(self) -> Response:
        content = json.dumps(self.body.model_dump(exclude_none=True))
        return Response(content, self.status, self.headers, media_type="application/json")


class BrokerUnavailable(Exception):
    """Nothing was accepted."""

    code, outcome = "broker_unavailable", "unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def answer(self) -> ApiError:
        message = f"The broker {self.reason}. Nothing was accepted; send the request again later."
        return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, self.code, message, headers=retry_later())


class QueueFull(BrokerUnavailable):
    """More orders wait than may."""

    code, outcome = "queue_full", "full"

    def __init__(self, retry_after_seconds: float | None) -> None:
        super().__init__("has no room for it")
        self.seconds = math.ceil(retry_after_seconds or 0) or 1

    def answer(self) -> ApiError:
        message = (
            f"Too many orders wait to be worked on. Nothing was accepted; send the request again in {self.seconds} s."
        )
        headers = {"Retry-After": str(self.seconds)}
        return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, self.code, message, headers=headers)


class OutcomeUnknown(BrokerUnavailable):
    """The order may have been accepted: its message was sent and never confirmed."""

    code, outcome = "outcome_unknown", "unknown"

    def __init__(self, reason: str, order_id: str) -> None:
        super().__init__(reason)
        self.order_id = order_id

    def answer(self) -> ApiError:
        message = (
            f"The broker {self.reason} while it was given this order, which may have been accepted or not. "
            "Send the request again with the same Idempotency-Key: then it is one order, whatever became of this one. "
            f"Without a key, GET /api/orders/{self.order_id} tells; sending it again would make a second order."
        )
        return ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, self.code, message, order_id=self.order_id, headers=retry_later()
        )


def idempotency_conflict() -> ApiError:
    message = (
        "Another order was placed under this Idempotency-Key. Nothing was accepted; take a new key for a new order."
    )
    return ApiError(HTTPStatus.CONFLICT, "idempotency_conflict", message)


def retry_later() -> dict[str, str]:
    # Not the same moment for everybody: a crowd that was sent away together would come back together.
    return {"Retry-After": str(random.randint(1, 3))}  # noqa: S311  nothing secret about it


def invalid_request(found: Sequence[Any]) -> ApiError:
    """422 with every field that is wrong, from pydantic's list of errors. Values are not repeated."""
    fields = [
        WrongField(field=name(one["loc"]), message=one["msg"].removeprefix("Value error, "))
        for one in found
        if not _echo(one["loc"], found)
    ]
    count = "1 field is" if len(fields) == 1 else f"{len(fields)} fields are"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", f"{count} wrong.", fields=fields)


def _echo(location: Sequence[str | int], found: Sequence[Any]) -> bool:
    """A list whose items are wrong is reported as too short as well; that would send its reader the wrong way."""
    depth = len(location)
    return any(len(one["loc"]) > depth and tuple(one["loc"][:depth]) == tuple(location) for one in found)


def name(location: Sequence[str | int]) -> str:
    """items.0.quantity: where it stands in the body (or in the path)."""
    inside = location[1:] if location and location[0] in {"body", "path", "query", "header"} else location
    return ".".join(str(part) for part in inside)[:LONGEST_TEXT] or "body"
