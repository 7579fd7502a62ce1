"""The Idempotency-Key header: a client's own name for a request, so that a repeat is the same piece of work.

A key belongs to its caller: two clients that choose the same key get two pieces of work. Who the caller is, a function
of the service says; without one, it is the Authorization header, of which only a hash is used."""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from http import HTTPStatus
from uuid import UUID, uuid4, uuid5

from starlette.requests import Request

from celeriac.http.errors import ApiError

LONGEST = 255
PATTERN = r"^[!-~]([ -~]*[!-~])?$"  # printable ASCII; spaces only in between, as HTTP drops the others

Caller = Callable[[Request], str]


def by_authorization(request: Request) -> str:
    """The caller, by the Authorization header; "" without one. So a client that gets a new token is another caller: a
    service that knows its users should say who they are."""
    return "\n".join(request.headers.getlist("authorization"))


class IdempotencyKeys:
    """A dependency of FastAPI that gives a request the id of its work: `Annotated[UUID, Depends(keys)]`.

    The same key of the same caller always gives the same id; without a key, each request has a new one. `namespace`:
    one for each kind of work, never to be changed. `caller`: request -> who asks; "" is everybody without a name."""

    def __init__(self, namespace: UUID, caller: Caller = by_authorization) -> None:
        self._namespace = namespace
        self._caller = caller

    async def __call__(self, request: Request) -> UUID:
        key = given_key(request.headers.getlist("idempotency-key"))
        return uuid4() if key is None else self.id(key, self._caller(request))

    def id(self, key: str, caller: str = "") -> UUID:
        """The id of this caller's key. It does not tell who the caller is: who knows a key could only try callers."""
        # No key holds a newline: nobody can write one that is another caller's.
        scope = f"{sha256(caller.encode()).hexdigest()}\n" if caller else ""
        return uuid5(self._namespace, scope + key)


def given_key(values: Sequence[str]) -> str | None:
    """The one that was given; None without. Raises ApiError, 400, for what is no key."""
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
