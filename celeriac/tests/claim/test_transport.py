"""What is different in kombu's channel for those who publish through it."""

import pytest
import redis
from celery import Celery

import celeriac
from celeriac.app import installation

pytestmark = pytest.mark.integration


def test_a_channel_keeps_one_client_of_its_pool(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_first", [])
    app = celeriac.install(Celery("channel", broker=redis_url, set_as_current=False))
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as one, channel.conn_or_acquire() as two:
            assert one is two
        channel._disconnect_pools()  # after a fork, or a lost connection
        with channel.conn_or_acquire() as another:
            assert another is not one
            assert another.connection_pool is channel.pool
        channel._put("q", {"body": "x"})
    assert 1 == client.llen("q")
