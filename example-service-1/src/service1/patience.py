"""How long we wait for the broker: a caller hears from us within two seconds, whatever it does."""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any, TypeVar

import redis.exceptions
from kombu.exceptions import KombuError

T = TypeVar("T")

# A wait for the marker, a wait for the message, and a short one for a message that is on its way by then, or for taking
# the marker back: 1.4 s at most, which leaves a busy machine time for itself.
PATIENCE_SECONDS = 0.5
GRACE_SECONDS = 0.4

# All that can be raised because the broker, or the way to it, is not what it should be.
FAILURES = (redis.exceptions.RedisError, KombuError, OSError, TimeoutError)


async def within(seconds: float, answer: Awaitable[T]) -> T:
    # Over redis-py's own time-outs: those hold for one read each, this for connecting, greeting and asking.
    async with asyncio.timeout(seconds):
        return await answer


async def done(job: Future[Any], seconds: float) -> None:
    """Wait for a thread, without cancelling what it does."""
    watched = asyncio.wrap_future(job)
    watched.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody may be left to hear of it
    await within(seconds, asyncio.shield(watched))
