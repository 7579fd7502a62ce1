"""How long we wait for the broker: a caller hears from us within two seconds, whatever it does."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import redis.exceptions

T = TypeVar("T")

# A wait for one's turn and two attempts to publish: 1.4 s, which leaves a busy machine time for itself. Where results
# live elsewhere, the marker comes before; at worst that is half a second more.
PATIENCE_SECONDS = 0.5
ATTEMPT_SECONDS = 0.45
GRACE_SECONDS = 0.3

# All that can be raised because Redis, or the way to it, is not what it should be.
FAILURES = (redis.exceptions.RedisError, OSError)


async def within(seconds: float, answer: Awaitable[T]) -> T:
    # Over redis-py's own time-outs: those hold for one read each, this for connecting, greeting and asking.
    async with asyncio.timeout(seconds):
        return await answer
