"""A queue that is paused takes messages, and no worker claims them until it is resumed."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import claim, message, push
from celery import Celery

from celeriac import make_app, pause_queue, paused_queues, resume_queue
from celeriac.app.settings import CelerySettings
from celeriac.broker.lists import lists
from celeriac.claim.claims import Claims

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_a_paused_queue_is_not_claimed_from_and_others_are(client: redis.Redis) -> None:
    mail = message("b", "mail")
    push(client, message("a"))
    push(client, message("a, later", priority=3), to=lists("orders")[1])
    push(client, mail, to="mail")
    assert pause_queue(client, "orders")
    claimed = claim(client, *lists("orders")[:2], "mail")
    assert ([("mail", mail)], [], False) == (claimed.messages, claimed.full, claimed.more)
    assert resume_queue(client, "orders")
    assert 2 == len(claim(client, *lists("orders")[:2], "mail").messages)


def test_a_queue_is_paused_once_and_resumed_once(client: redis.Redis) -> None:
    assert [True, False] == [pause_queue(client, "orders") for _ in range(2)]
    assert ["orders"] == paused_queues(client)
    assert [True, False] == [resume_queue(client, "orders") for _ in range(2)]
    assert [] == paused_queues(client)


def test_an_app_names_its_broker(client: redis.Redis, redis_url: str) -> None:
    app: Celery = make_app("shop", CelerySettings(broker_url=redis_url))
    pause_queue(app, "orders")
    assert ["orders"] == paused_queues(app) == paused_queues(client)
    resume_queue(app, "orders")
    assert [] == paused_queues(client)
    app.close()


def test_an_idle_worker_hears_at_once_that_a_queue_is_resumed(client: redis.Redis, redis_url: str) -> None:
    push(client, message("a"))
    pause_queue(client, "orders")
    claims = Claims(60_000_000, 10_000, lambda seconds, callback: SimpleNamespace(cancel=lambda: None))
    with redis.Redis.from_url(redis_url, protocol=3) as worker:
        connection: Any = worker.connection_pool.get_connection()
        while claims.state != "waiting":  # the first call teaches Redis the script
            claims.start(connection, ["orders"], ["celery-dead-orders"], 10)
            assert claims.read(worker, connection) is None
        resume_queue(client, "orders")
        assert connection.can_read(timeout=5)
        assert claims.read(worker, connection) is None
        assert "idle" == claims.state
        claims.start(connection, ["orders"], ["celery-dead-orders"], 10)
        batch = claims.read(worker, connection)
        assert batch is not None
        assert 1 == len(batch.messages)
        worker.connection_pool.release(connection)
