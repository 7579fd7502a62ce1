"""Connections that a publisher keeps: only those that are as new."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from celeriac.publish import connections as kept
from celeriac.publish.connections import Connections

pytestmark = pytest.mark.integration


@pytest.fixture
def pool(redis_url: str) -> Iterator[Any]:
    with redis.ConnectionPool.from_url(redis_url) as made:
        yield made


@pytest.fixture
def connections(pool: Any, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Each connection is looked at before it is used again."""
    monkeypatch.setattr(kept, "TRUSTED_SECONDS", 0.0)
    return Connections(pool)


def asked(connection: Any) -> Any:
    connection.send_command("PING")
    return connection.read_response()


def used(connections: Connections) -> Any:
    connection = connections.take()
    assert asked(connection) == b"PONG"
    connections.give_back(connection, whole=True)
    return connection


def test_a_connection_is_used_again(connections: Connections) -> None:
    assert used(connections) is used(connections)


def test_one_that_has_just_answered_is_not_looked_at(pool: Any) -> None:
    connections = Connections(pool)
    connection = used(connections)
    pool.disconnect()
    assert connections.take() is connection
    assert connection._sock is None


def test_two_callers_never_have_the_same(connections: Connections) -> None:
    used(connections)
    assert connections.take() is not connections.take()


def test_one_that_redis_has_closed_is_opened_anew(connections: Connections, client: redis.Redis) -> None:
    used(connections)
    client.client_kill_filter(_type="normal", skipme=True)
    used(connections)


def test_one_that_its_pool_has_closed_is_opened_anew(connections: Connections, pool: Any) -> None:
    used(connections)
    pool.disconnect()
    used(connections)


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_that_nobody_has_read_is_told_to_nobody(connections: Connections, whole: bool) -> None:
    connection = connections.take()
    connection.send_command("ECHO", "of another call")
    assert connection.can_read(timeout=5)
    connections.give_back(connection, whole=whole)
    used(connections)


def test_the_child_of_a_fork_has_its_own(connections: Connections) -> None:
    ours = used(connections)
    child = os.fork()
    if child == 0:
        os._exit(0 if used(connections) is not ours else 1)
    assert 0 == os.waitpid(child, 0)[1]
    assert used(connections) is ours


def test_one_that_is_not_whole_goes_back_to_the_pool(connections: Connections, pool: Any) -> None:
    connection = connections.take()
    connections.give_back(connection, whole=False)
    assert connection is pool.get_connection()


def test_one_that_its_pool_does_not_want_any_more_is_closed(
    connections: Connections, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of Sentinel's, when another Redis has become the master."""
    connection = connections.take()
    monkeypatch.setattr(pool, "owns_connection", lambda one: one is not connection)
    connections.give_back(connection, whole=True)
    assert used(connections) is not connection
    assert connection._sock is None


def test_one_whose_redis_moves_is_opened_anew(connections: Connections) -> None:
    connection = used(connections)
    connection = connections.take()
    before = connection._sock
    connection.mark_for_reconnect()
    connections.give_back(connection, whole=True)
    used(connections)
    assert connection._sock is not before
