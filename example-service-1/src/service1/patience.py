"""How long we wait for the broker: a caller hears from us within two seconds, whatever it does."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import redis.exceptions

T = TypeVar("T")

# Two attempts to publish take 0.9 s at most. Whoever waits for a turn hears of a broker that fell silent when those
# before have given up; so only one whose turn comes in the very moment of that waits for the sum, 1.9 s. Where results
# live elsewhere, the marker comes before; at worst that is half a second more.
PATIENCE_SECONDS = 0.5
TURN_SECONDS = 1.0
ATTEMPT_SECONDS = 0.45
GRACE_SECONDS = 0.3

# All that can be raised because Redis, or the way to it, is not what it should be.
FAILURES = (redis.exceptions.RedisError, OSError)


async def within(seconds: float, answer: Awaitable[T]) -> T:
    # Over redis-py's own time-outs: those hold for one read each, this for connecting, greeting and asking.
    async with asyncio.timeout(seconds):
        return await answer
