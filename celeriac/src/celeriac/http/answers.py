"""What an error of a publish or a read means in HTTP. An endpoint lets it pass, and the caller gets this answer:

| raised | answer |
|---|---|
| `QueueFull` | 503 `queue_full`, with a Retry-After that follows the rate at which the queue drains |
| `OutcomeUnknown` | 503 `outcome_unknown`, with the id of the work; the same Idempotency-Key settles it |
| `NotPublished`, `BrokerUnavailable`, any other `OperationalError` or RedisError | 503 `broker_unavailable` |
| `Conflict` | 409 `idempotency_conflict` |
| `ValidationError`, what FastAPI refuses | 422 `invalid_request`, with each field that is wrong |
| `ApiError` | what it says |
| `HTTPException` | its status, in the one shape |
| any other | 500 `internal_error`, a bug: its traceback is in the log |"""

import math
from http import HTTPStatus
from typing import Any

import redis.exceptions
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from kombu.exceptions import OperationalError
from starlette.exceptions import HTTPException

from celeriac.errors import Conflict, NotPublished, OutcomeUnknown, QueueFull, ValidationError
from celeriac.http import faults
from celeriac.http.errors import LONGEST_TEXT, ApiError, internal_error, invalid_request, retry_later

UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE


def queue_full(error: QueueFull) -> ApiError:
    """503: the broker is fine, its queue is at its bound."""
    seconds = math.ceil(error.retry_after_seconds or 0) or 1
    message = f"Too much work waits to be done. Nothing was accepted; send the request again in {seconds} s."
    return ApiError(UNAVAILABLE, "queue_full", message, headers={"Retry-After": str(seconds)})


def outcome_unknown(error: OutcomeUnknown) -> ApiError:
    """503: the broker fell silent in the very moment of the hand-over."""
    [task_id, *others] = error.published.unknown if error.published and error.published.unknown else [None]
    alone = "" if task_id is None or others else f" Without a key, look for {task_id} before you send it again."
    message = (
        f"The broker {faults.reason(error)} while it was given this work, which may have been accepted or not. "
        "Send the request again with the same Idempotency-Key: then it is done once, whatever became of this one."
    )
    return ApiError(UNAVAILABLE, "outcome_unknown", message + alone, task_id=task_id, headers=retry_later())


def broker_unavailable(error: Exception) -> ApiError:
    """503: the same request may work later."""
    nothing = "Nothing was accepted; s" if isinstance(error, NotPublished) else "S"
    message = f"The broker {faults.reason(error)}. {nothing}end the request again later."
    return ApiError(UNAVAILABLE, "broker_unavailable", message, headers=retry_later())


def conflict(_: Conflict) -> ApiError:
    """409."""
    message = (
        "Other work was accepted under this Idempotency-Key. Nothing was accepted now; take a new key for new work."
    )
    return ApiError(HTTPStatus.CONFLICT, "idempotency_conflict", message)


def refused(error: ValidationError) -> ApiError:
    """422: the request is well formed, but its contract does not take it. The text names fields, never values."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", str(error)[:LONGEST_TEXT])


ANSWERS: dict[type[Exception], Any] = {
    QueueFull: queue_full,
    OutcomeUnknown: outcome_unknown,
    OperationalError: broker_unavailable,
    redis.exceptions.RedisError: broker_unavailable,
    Conflict: conflict,
    ValidationError: refused,
    ApiError: lambda error: error,
    RequestValidationError: lambda error: invalid_request(error.errors()),
    Exception: lambda _: internal_error(),  # and raised on, to be logged by Access
}


def add_error_answers(api: FastAPI) -> None:
    """From here on, every error leaves this application in the shape of ErrorBody."""
    for kind, meaning in ANSWERS.items():
        api.add_exception_handler(kind, _handler(meaning))

    @api.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        status = HTTPStatus(exc.status_code)
        text = f"{request.method} {request.url.path[:LONGEST_TEXT]}: {status.phrase}."
        return ApiError(status, status.name.lower(), text, headers=exc.headers).response()


def _handler(meaning: Any) -> Any:
    async def handle(_: Request, error: Exception) -> Response:
        answer: ApiError = meaning(error)
        return answer.response()

    return handle
