"""The watch over a lost broker."""

import asyncio

import pytest
import redis.exceptions
import structlog

from service1.availability import Availability
from service1.errors import BrokerUnavailable


def test_the_watch_survives_what_nobody_expected():
    problems = [redis.exceptions.TimeoutError(), RuntimeError("boom"), RuntimeError("boom")]
    refused = []

    async def ping():
        with pytest.raises(BrokerUnavailable) as caught:
            watched.check()
        refused.append(caught.value)
        if problems:
            raise problems.pop(0)

    async def recovered():
        pass

    async def until_it_is_back():
        watched.failed("cannot be reached")
        async with asyncio.timeout(5):
            await watched._watch
        watched.check()

    watched = Availability(ping, recovered, retry_seconds=0)
    with structlog.testing.capture_logs() as caught:
        asyncio.run(until_it_is_back())

    reasons = ["cannot be reached", *["does not answer"] * 3]
    assert all(reason in str(one) for reason, one in zip(reasons, refused, strict=True))
    assert ["broker.lost", "broker.watch_failed", "broker.back"] == [line["event"] for line in caught]
    assert caught[1]["exc_info"]
