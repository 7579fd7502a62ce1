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
    """It has room for one message at a time, until it has `most`."""

    most = 1_000

    def __init__(self, channel: Any) -> None:
        self.channel, self.got = channel, list[Batch]()
        self.claims = Claims(60_000_000, 10_000, lambda seconds, callback: SimpleNamespace(cancel=lambda: None))

    def hungry(self) -> bool:
        return bool(self.channel._in_poll) or self.room() > 0

    def room(self) -> int:
        has = sum(len(batch.messages) for batch in self.got) + self.claims.asked + self.claims.brought
        return min(1, self.most - has)

    def receive(self, batch: Batch) -> None:
        self.got.append(batch)

    def pump(self) -> None:
        """There is nothing to do."""

    def give_back(self, batch: Batch) -> None:
        """Nobody looks."""

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


@pytest.fixture
def full(idle: FakeIntake, client: redis.Redis) -> FakeIntake:
    """The intake of a channel that has taken a message and has no room for the next one, which is there."""
    idle.most = 1
    push(client, message("a"))
    push(client, message("b"))
    while not idle.got:
        read(idle.channel)
    idle.channel.rest()
    assert ("idle", None) == (idle.claims.state, idle.channel._in_poll)
    return idle


def test_a_bell_for_a_worker_without_room_is_heard_and_its_connection_stays(
    full: FakeIntake, client: redis.Redis
) -> None:
    channel, connection = full.channel, full.channel.client.connection
    socket, cycle = connection._sock, full.channel.connection.cycle
    push(client, message("c"))
    for fd, _ in cycle.poller.poll(2):
        cycle.handle_event(fd, READ)
    assert socket is connection._sock
    assert not connection.can_read(timeout=0), "the bell was read, or the event loop would spin"
    full.most = 3
    while len(full.got) < 3:
        read(channel)
    assert socket is connection._sock


def test_a_connection_that_redis_closes_while_a_worker_has_no_room_is_made_again_when_it_has(
    full: FakeIntake, client: redis.Redis
) -> None:
    channel, connection = full.channel, full.channel.client.connection
    client.client_kill_filter(_id=connection_id(client, connection), skipme=True)
    cycle = channel.connection.cycle
    for fd, _ in cycle.poller.poll(2):
        cycle.handle_event(fd, READ)
    assert connection._sock is None
    full.most = 2
    while len(full.got) < 2:
        read(channel)


def connection_id(client: redis.Redis, connection: Any) -> str:
    port = connection._sock.getsockname()[1]
    return str(next(one["id"] for one in client.client_list() if one["addr"].endswith(f":{port}")))


def test_the_event_loop_is_given_each_socket_once() -> None:
    poller = Poller()
    poller._fd_to_chan = {3: ("a channel", "BRPOP")}
    assert [3] == list(poller.fds)
    poller.hub = SimpleNamespace(readers={3: "its callback"})
    assert [] == list(poller.fds)
    poller.hub.readers.clear()  # it was lost
    assert [3] == list(poller.fds)
