"""The Idempotency-Key header: a client's own name for a request."""

import re
from collections.abc import Sequence
from http import HTTPStatus

from service1.errors import ApiError

LONGEST = 255
PATTERN = r"^[!-~]([ -~]*[!-~])?$"  # printable ASCII; spaces only in between, as HTTP drops the others


def key(values: Sequence[str]) -> str | None:
    """The one that was given; None without. ApiError 400 for what is no key."""
    if not values:
        return None
    if len(values) > 1:
        raise _refused("is given more than once")
    [value] = values
    if not value.strip():
        raise _refused("is empty")
    if len(value) > LONGEST:
        raise _refused(f"is longer than {LONGEST} characters")
    if not re.fullmatch(PATTERN, value):
        raise _refused("holds characters that are not printable ASCII")
    return value


def _refused(why: str) -> ApiError:
    text = f"The Idempotency-Key {why}. Nothing was accepted."
    return ApiError(HTTPStatus.BAD_REQUEST, "invalid_idempotency_key", text)
