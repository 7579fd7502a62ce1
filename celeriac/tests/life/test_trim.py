"""The stream of records stays as small, as young and as short as the settings say."""

import time
from collections.abc import Iterator

import pytest
import redis
from celeriac.tests.life.world import full

from celeriac.broker import keys
from celeriac.broker.options import Options
from celeriac.life.trim import trim

pytestmark = pytest.mark.integration

MB = 1024 * 1024


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def add(client: redis.Redis, entries: int, size: int = 10, age_seconds: float = 0.0) -> None:
    first = int((time.time() - age_seconds) * 1000)
    pipe = client.pipeline(transaction=False)
    for number in range(entries):
        pipe.xadd(keys.LIFE, {"o": b"x" * size}, id=f"{first}-{number + 1}")
    pipe.execute()


def test_what_is_too_old_is_forgotten(client: redis.Redis) -> None:
    add(client, 500, age_seconds=100)
    add(client, 10)
    assert 0 < trim(client, Options(life_seconds=50))
    assert 10 <= client.xlen(keys.LIFE) < 110  # Redis removes whole pieces
    assert 0 == trim(client, Options(life_seconds=50))


@pytest.mark.parametrize(("before", "size"), [(0, 20_000), (3_000, 20_000), (20_000, 500)])
def test_no_more_bytes_are_kept_than_were_asked_for(client: redis.Redis, before: int, size: int) -> None:
    """Also after a long time with few messages, when the newest entries are larger than all before."""
    add(client, before, age_seconds=10)
    add(client, 4 * MB // size, size)
    trim(client, Options(life_bytes=MB))
    assert client.memory_usage(keys.LIFE, samples=0) < 1.2 * MB
    assert client.xlen(keys.LIFE) > 20


def test_nothing_is_forgotten_without_a_reason(client: redis.Redis) -> None:
    add(client, 300)
    assert 0 == trim(client, Options())
    assert 300 == client.xlen(keys.LIFE)


def test_where_nobody_writes_records_an_empty_stream_is_deleted(client: redis.Redis) -> None:
    add(client, 1, age_seconds=100)
    client.xtrim(keys.LIFE, maxlen=0, approximate=False)
    trim(client, Options())
    assert client.exists(keys.LIFE)
    trim(client, Options(life_length=0))
    assert not client.exists(keys.LIFE)


def test_it_is_gone_some_days_after_the_last_worker_of_ours(client: redis.Redis) -> None:
    add(client, 1)
    trim(client, Options(life_seconds=50))
    assert 90 < client.ttl(keys.LIFE) <= 100


def test_a_key_of_another_kind_is_left_alone(client: redis.Redis) -> None:
    client.set(keys.LIFE, "mine")
    assert 0 == trim(client, Options())
    assert b"mine" == client.get(keys.LIFE)


def test_a_full_redis_trims(client: redis.Redis) -> None:
    add(client, 500, age_seconds=100)
    full(client)
    try:
        assert 0 < trim(client, Options(life_seconds=50))
    finally:
        client.config_set("maxmemory", 0)
