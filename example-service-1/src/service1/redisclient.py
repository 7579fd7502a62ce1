"""A Redis client for an event loop: every wait is short, nothing is tried again and again behind our back."""

import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from common_tasks.errors import SettingsError
from common_tasks.redis_url import redis_py_url

CONNECTIONS = 32


def connect(url: str, patience_seconds: float) -> Redis:
    """A client that opens its first connection with its first command."""
    if url.startswith("sentinel"):
        raise SettingsError("service1 reads results from one Redis; it does not know sentinel://")
    pool = BlockingConnectionPool.from_url(
        redis_py_url(url),
        max_connections=CONNECTIONS,
        timeout=patience_seconds,
        socket_timeout=patience_seconds,
        socket_connect_timeout=patience_seconds,
        # At once on a new connection when this one turns out to be dead (a restart), and then no more: redis-py's own
        # default waits and tries several times. What we ask of it may be asked twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        protocol=2,  # RESP3 costs a handshake and brings nothing to GET and SET
    )
    return Redis.from_pool(pool)
