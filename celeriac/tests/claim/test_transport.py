"""What is different in kombu's channel for those who publish through it, and in a channel that feeds a worker."""

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import message, push
from celery import Celery
from kombu.utils.eventio import READ

import celeriac
from celeriac.app import installation
from celeriac.claim import transport
from celeriac.claim.claims import Batch, Claims
from celeriac.claim.transport import Poller

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


class FakeIntake:
    """It has room for one message at a time."""

    def __init__(self, channel: Any) -> None:
        self.channel, self.got = channel, list[Batch]()
        self.claims = Claims(60_000_000, 10_000, lambda seconds, callback: SimpleNamespace(cancel=lambda: None))

    def hungry(self) -> bool:
        return True

    def room(self) -> int:
        return 1

    def receive(self, batch: Batch) -> None:
        self.got.append(batch)

    def pump(self) -> None:
        """There is nothing to do."""

    def lost_channel(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def idle(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIntake]:
    """The intake of a channel that waits for the bell."""
    monkeypatch.setattr(installation, "_first", [])
    app = celeriac.install(Celery("channel", broker=redis_url, set_as_current=False))
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        channel.queue_declare("orders")
        channel.basic_consume("orders", no_ack=False, callback=lambda message: None, consumer_tag="t")
        intake = FakeIntake(channel)
        channel.feed(intake)
        while intake.claims.state != "waiting":
            read(channel)
        yield intake


def read(channel: Any) -> None:
    """As the event loop does: send what is to be sent, wait for the next line on the claim connection, read it."""
    cycle = channel.connection.cycle
    channel.rest()
    cycle._register_BRPOP(channel)
    for fd, _ in cycle.poller.poll(2):
        with suppress(Empty):
            cycle.handle_event(fd, READ)


def test_after_the_bell_a_message_is_there_at_once(
    idle: FakeIntake, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 5.0)  # on a slow machine, too
    raw = message("a")
    push(client, raw)
    read(idle.channel)
    assert [raw] == [one for batch in idle.got for _, one in batch.messages]
    assert "waiting" == idle.claims.state


def test_an_answer_that_takes_longer_is_read_later(
    idle: FakeIntake, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = idle.channel.client.connection
    with monkeypatch.context() as patched:
        patched.setattr(connection, "can_read", lambda timeout=0: False)
        push(client, message("a"))
        read(idle.channel)
    assert ([], "claiming") == (idle.got, idle.claims.state)
    assert idle.channel._in_poll is connection
    read(idle.channel)
    assert 1 == len(idle.got)


def test_the_event_loop_is_given_each_socket_once() -> None:
    poller = Poller()
    poller._fd_to_chan = {3: ("a channel", "BRPOP")}
    assert [3] == list(poller.fds)
    poller.hub = SimpleNamespace(readers={3: "its callback"})
    assert [] == list(poller.fds)
    poller.hub.readers.clear()  # it was lost
    assert [3] == list(poller.fds)
