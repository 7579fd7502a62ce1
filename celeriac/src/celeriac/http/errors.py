"""What a caller can be told: one body for every error."""

import json
import random
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from celeriac import correlation

# A request can be wrong in thousands of places; the first ones are enough to begin with.
MOST_FIELDS = 20
LONGEST_TEXT = 200


class WrongField(BaseModel):
    """One field of a request, and what is wrong with it."""

    field: str = Field(examples=["items.0.quantity"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class ErrorBody(BaseModel):
    """Every error of this API looks like this."""

    error: str = Field(description="Which error; does not change between versions.", examples=["invalid_request"])
    message: str = Field(description="What is wrong and what to do, for people.")
    correlation_id: str | None = Field(default=None, description="Find this request in the logs by it.")
    fields: list[WrongField] | None = Field(default=None, description="With 422: each field and what is wrong with it.")
    task_id: str | None = Field(default=None, description="With outcome_unknown: the work that may have been accepted.")


class ApiError(Exception):
    """An answer that is not a success. An endpoint may raise it."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        fields: Sequence[WrongField] = (),
        task_id: str | None = None,
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
            task_id=task_id,
        )

    def response(self) -> Response:
        """As it is sent."""
        content = json.dumps(self.body.model_dump(exclude_none=True))
        return Response(content, self.status, self.headers, media_type="application/json")


def retry_later() -> dict[str, str]:
    """The header that says when to come back."""
    # Not the same moment for everybody: a crowd that was sent away together would come back together.
    return {"Retry-After": str(random.randint(1, 3))}  # noqa: S311  nothing secret about it


def internal_error() -> ApiError:
    """500."""
    text = "This is a bug of ours; the correlation id finds it in the logs."
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", text)


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
