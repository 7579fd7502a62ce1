"""Parts of the OpenAPI document that every API of ours has."""

from typing import Any

from celeriac.http.access import ACCEPTED
from celeriac.http.errors import ErrorBody
from celeriac.http.idempotency import LONGEST, PATTERN

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
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": PATTERN},
    "description": "A name for this request that the client makes up, such as a random UUID, and gives again with "
    "every repeat: the same request is done once then and gets one answer, however often and how many at once it is "
    "sent, for 24 hours. Another body under the same key is refused. A key belongs to its caller, who is known by the "
    "`Authorization` header unless the service knows better; all callers without one share their keys.",
}
LOCATION = {"description": "Where its status is.", "schema": {"type": "string"}}
RETRY_AFTER = {"description": "Seconds after which there should be room, or an answer.", "schema": {"type": "integer"}}

# What every request with a JSON body can be told.
BODY_ERRORS = {
    400: "The body is not JSON, or the Idempotency-Key is not one.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not declared to be JSON.",
    422: "Fields are missing, unknown or wrong; each is named.",
}
# And one that publishes a task.
PUBLISH_ERRORS = {
    409: "Other work was accepted under this Idempotency-Key.",
    503: "The broker does not answer, or refuses, or too much work waits (`queue_full`). Nothing was accepted, unless "
    "the error is `outcome_unknown`: then the same request with the same Idempotency-Key settles it.",
}


def accepted_responses() -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint that publishes a task and answers 202."""
    responses = error_responses(BODY_ERRORS | PUBLISH_ERRORS)
    responses[503]["headers"] = {"Retry-After": RETRY_AFTER}
    return {202: {"headers": {"Location": LOCATION}}, **responses}


def error_responses(texts: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """`responses` for these statuses; each has the one shape."""
    return {status: {"model": ErrorBody, "description": text} for status, text in sorted(texts.items())}
