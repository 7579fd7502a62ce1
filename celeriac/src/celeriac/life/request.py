"""The HTTP request that is being answered here, for the records of what it publishes."""

from contextvars import ContextVar
from typing import NamedTuple


class Request(NamedTuple):
    via: str
    """`POST /api/orders`."""
    since: float
    """When it began; monotonic clock."""


REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)
