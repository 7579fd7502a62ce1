"""Connections of an app that is ours.

Of several addresses (brokers, or sentinels) kombu takes the next one when one is away, and there it would take its own
transport, by the scheme of the URL: with it, messages would be popped and not claimed."""

from typing import TYPE_CHECKING, Any

import kombu
from kombu.connection import ConnectionPool, PooledConnection

if TYPE_CHECKING:
    _Base = kombu.Connection
else:
    _Base = object


class _Keeps(_Base):
    """A connection that keeps its transport."""

    def switch(self, conn_str: str) -> None:
        """Go on with this address."""
        ours = self.transport_cls
        super().switch(conn_str)
        self.transport_cls = ours


class Connection(_Keeps, kombu.Connection):
    """One of its own."""

    def Pool(self, limit: int | None = None, **options: Any) -> "Pool":
        """The pool that publishers take connections from."""
        return Pool(self, limit, **options)


class _Pooled(_Keeps, PooledConnection):
    """One of a pool."""


class Pool(ConnectionPool):
    """kombu's, of connections that keep their transport."""

    def new(self) -> _Pooled:
        """As kombu's."""
        given: dict[str, Any] = dict(self.connection._info(resolve=False))  # noqa: SLF001  as kombu itself does
        pooled: Any = _Pooled  # celery-types does not know its first argument
        made: _Pooled = pooled(self, **given)
        return made
