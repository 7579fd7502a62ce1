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


def test_a_bell_that_stands_before_an_answer_is_not_taken_for_it(line, own):
    claims = waiting(line)
    claims.wake()  # by its timer; the bell rings all the same
    own.lpush("default", "one")
    time.sleep(0.1)
    found = claimed(claims, line)
    assert ([], 1) == (found.messages, len(found.letters))
    assert own.xlen("celery-dead-default") == 1


def test_what_comes_right_after_a_claim_rings_the_bell(line, own):
    client, connection = line
    claims = waiting(line)
    claims.wake()
    claims.start(connection, ["default"], ["celery-dead-default"], 1)
    own.lpush("default", "one")  # after the claim; its answer is not read yet
    time.sleep(0.1)
    assert claims.read(client, connection) is None
    assert claims.state == "idle"  # heard, although it was read together with the answer
    assert len(claimed(claims, line).letters) == 1


def test_a_claim_that_took_something_rings_for_the_next_and_not_for_itself(line, own):
    claims = waiting(line)
    own.lpush("default", "one")
    assert claims.read(*line) is None  # the bell
    assert len(claimed(claims, line).letters) == 1
    assert claims.state == "waiting"
    assert not line[1].can_read(timeout=0.1)
    own.lpush("default", "two")
    assert line[1].can_read(timeout=1)


def test_the_timer_is_not_set_anew_for_every_wait(line, own):
    timers = []
    claims = Claims(LEASE_US, 10_000, lambda seconds, callback: timers.append(seconds) or Timer())
    for _ in range(3):
        assert claimed(claims, line) is None
        claims.wake()
    assert len(timers) == 1
    own.zadd("celery-due", {"default\nx": (time.time() + 0.5) * 1e6})
    assert claimed(claims, line) is None
    assert len(timers) == 2
    assert 0.3 < timers[1] < 0.6
