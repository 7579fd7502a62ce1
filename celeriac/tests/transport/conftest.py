"""Clients of a Redis."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac import events


@pytest.fixture
def client(redis_server: Any, redis_url: str) -> Iterator[redis.Redis]:
    """Of an empty Redis; answers are text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def told() -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """What is told of messages from here on: event, fields."""
    heard: list[tuple[str, Mapping[str, Any]]] = []

    @events.listen
    def listener(event: str, fields: Mapping[str, Any]) -> None:
        heard.append((event, fields))

    yield heard
    events.ignore(listener)


def impatient(port: int, seconds: float = 0.3) -> redis.Redis:
    """A client that gives up soon and repeats nothing by itself."""
    return redis.Redis(port=port, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))
