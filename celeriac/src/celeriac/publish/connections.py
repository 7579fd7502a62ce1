"""Connections that a publisher keeps between two calls."""

import os
import time
from typing import Any

from redis.exceptions import RedisError

BROKEN = (RedisError, OSError)
TRUSTED_SECONDS = 0.05  # a connection that has just answered is not looked at before it is used again


class Connections:
    """Of a redis-py pool. The pool counts them as in use, also while they wait here: to give one back to it and to take
    it again costs more than the rest of a publish. Safe in every thread: to add to a list, and to take from it, is one
    step. The child of a fork gets connections of its own.

    If Redis closes a connection that is not looked at, a call has no answer and is tried again."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._kept: list[tuple[Any, float]] = []  # with the time when it was last used

    def take(self) -> Any:
        """A connection that is open. Raises what redis-py raises."""
        try:
            connection, used = self._kept.pop()
        except IndexError:
            return self._pool.get_connection()
        if connection.pid == os.getpid():
            try:
                if time.monotonic() - used < TRUSTED_SECONDS or not connection.can_read():
                    return connection
            except BROKEN:  # it was closed
                pass
            connection.disconnect()
            self._pool.release(connection)
        else:
            self._kept.clear()
        return self._pool.get_connection()  # it opens what was closed

    def give_back(self, connection: Any, *, whole: bool) -> None:
        """`whole`: it was sent one command, and its answer is read."""
        if whole and self._pool.owns_connection(connection) and not _to_renew(connection):
            self._kept.append((connection, time.monotonic()))
            return
        if not whole:
            connection.disconnect()  # what may yet come on it belongs to nobody
        self._pool.release(connection)


def _to_renew(connection: Any) -> bool:
    """Whether Redis has announced that it moves."""
    asked = getattr(connection, "should_reconnect", None)  # redis-py 5 does not know it
    return asked is not None and asked()
