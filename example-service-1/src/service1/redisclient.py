"""A Redis client for an event loop: every wait is short, nothing is tried again and again behind our back."""

from collections.abc import Mapping
from typing import Any, cast
from weakref import proxy

import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection
from redis.backoff import NoBackoff

from celeriac.broker.url import parse, redis_py_url

CONNECTIONS = 32


class MasterPool(BlockingConnectionPool):
    """Of connections to the master that Sentinel names when they connect."""

    is_master, check_connection = True, False  # redis-py's connections to a master ask for these

    def __init__(self, master: str, sentinels: Any, **options: Any) -> None:
        self.service_name, self._sentinels = master, sentinels
        super().__init__(
            connection_class=cast("Any", SentinelManagedConnection), connection_pool=proxy(self), **options
        )

    async def get_master_address(self) -> tuple[str, int]:
        found: tuple[str, int] = await self._sentinels.discover_master(self.service_name)
        return found

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for one in self._sentinels.sentinels:
            await one.aclose()


def connect(url: str, patience_seconds: float, transport_options: Mapping[str, Any]) -> Redis:
    """A client that opens its first connection with its first command. `transport_options`: Celery's; those of Sentinel
    matter here."""
    options: dict[str, Any] = {
        "max_connections": CONNECTIONS,
        "timeout": patience_seconds,
        "socket_timeout": patience_seconds,
        "socket_connect_timeout": patience_seconds,
        # At once on a new connection when this one turns out to be dead (a restart), and then no more: redis-py's own
        # default waits and tries several times. What we ask of it may be asked twice.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        "protocol": 2,  # RESP3 costs a handshake and brings nothing to GET and SET
    }
    if not url.startswith("sentinel://"):
        return Redis.from_pool(BlockingConnectionPool.from_url(redis_py_url(url), **options))
    address = parse(url)
    asked = {**transport_options["sentinel_kwargs"], "retry": Retry(NoBackoff(), 0)}
    options |= {"db": address.database, "username": address.username, "password": address.password}
    sentinels = cast("Any", Sentinel)(address.hosts, sentinel_kwargs=asked)
    return Redis.from_pool(MasterPool(transport_options["master_name"], sentinels, **options))
