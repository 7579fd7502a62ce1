"""The bell of a sleeping worker, against a real Redis: it may ring when nobody listens for it."""

import time

import pytest
import redis

from celeriac.claim.claims import Claims

LEASE_US = 60_000_000


class Timer:
    def cancel(self) -> None:
        """Never fires here."""


@pytest.fixture
def line(own_url):
    """A client and the one connection that claims are made on; an answer that does not come is an error soon."""
    with redis.Redis.from_url(own_url, protocol=3, socket_timeout=1) as client:
        connection = client.connection_pool.get_connection()
        yield client, connection
        connection.disconnect()


def claimed(claims, line):
    """The next thing that the connection has to tell."""
    client, connection = line
    claims.start(connection, ["default"], ["celery-dead-default"], 1)
    return claims.read(client, connection)


def waiting(line):
    claims = Claims(LEASE_US, 10_000, lambda seconds, callback: Timer())
    while claims.state != "waiting":
        assert claimed(claims, line) is None
    return claims


def test_a_bell_that_rings_when_nothing_is_under_way_is_heard_and_nothing_is_waited_for(line, own):
    claims = waiting(line)
    claims.wake()  # by its timer, in the same moment
    own.lpush("default", "not a message")
    time.sleep(0.1)
    began = time.monotonic()
    assert claims.read(*line) is None
    assert time.monotonic() - began < 0.5
    assert claims.read(*line) is None  # nor where there is nothing at all
    assert time.monotonic() - began < 0.5


def test_two_bells_at_once_are_two_looks_at_most(line, own):
    claims = waiting(line)
    own.lpush("default", "one")
    own.zadd("celery-due", {"default\nx": 9e18})
    time.sleep(0.1)
    assert claims.read(*line) is None
    assert claims.state == "idle"
    assert claims.read(*line) is None
    while claims.state != "waiting":
        claimed(claims, line)


def test_a_bell_that_stands_before_the_answers_is_not_taken_for_one_of_them(line, own):
    claims = waiting(line)
    claims.wake()
    assert claimed(claims, line) is None  # nothing there; the bell is asked for next
    own.lpush("default", "one")  # rings, as it was asked to before
    time.sleep(0.1)
    assert claimed(claims, line) is None
    assert claims.state == "idle"  # there is something
    found = []
    while claims.state != "waiting":
        found.append(claimed(claims, line))
    assert [(batch.messages, len(batch.letters)) for batch in found if batch is not None] == [([], 1)]
    assert own.xlen("celery-dead-default") == 1
