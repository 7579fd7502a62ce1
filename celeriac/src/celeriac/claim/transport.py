"""kombu's Redis channel, with claims and outcomes in place of pops and acknowledgements.

A channel that feeds no worker (a client's, remote control's) does what kombu's does, except for a publish inside a
task."""

import time
from datetime import datetime
from functools import cached_property
from queue import Empty
from typing import TYPE_CHECKING, Any, Protocol

from kombu.exceptions import ChannelError
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from celeriac.broker import keys
from celeriac.broker.lists import queue_of
from celeriac.broker.options import Options
from celeriac.broker.removal import purge
from celeriac.broker.scripts import Script
from celeriac.claim.claims import Batch, Claims
from celeriac.life.pack import facts_of, put
from celeriac.outcome.commit import HOME, OPEN, Commit, Sent
from celeriac.outcome.unclaimed import publish_ahead
from celeriac.retry.policy import refused_for_now

PUT = Script("publish/put")
ANSWER_SECONDS = 0.001  # for a claim after the bell: to wait for its answer at once saves a turn of the event loop


class Outcomes(Protocol):
    """The committer of a worker, as far as a channel needs it."""

    def flush(self, *, wait: bool = True) -> None: ...
    def read_answers(self) -> None: ...


class Delivery(Protocol):
    """Of the messages that Celery has, as far as a channel needs it."""

    def acknowledge(self, tag: str) -> None: ...
    def reject(self, tag: str, *, requeue: bool) -> None: ...


class Intake(Protocol):
    """The intake of a worker, as far as a channel needs it. All calls come from the consumer's thread."""

    channel: Any
    claims: Claims

    @property
    def committer(self) -> Outcomes: ...
    @property
    def delivery(self) -> Delivery: ...

    def hungry(self) -> bool:
        """Whether the claim connection is to be read or written."""

    def room(self) -> int:
        """How many messages to claim now."""

    def receive(self, batch: Batch) -> None:
        """Hand out what a claim brought."""

    def give_back(self, batch: Batch) -> None:
        """Give back what a claim brought: its answer came too late to start it."""

    def pump(self) -> None:
        """Do what has to be done in the consumer's thread."""

    def lost_channel(self) -> None:
        """The consumer's connection ended."""


class QoS(kombu_redis.QoS):
    """What is delivered and not acknowledged."""

    channel: Any

    def can_consume(self) -> bool:
        intake = self.channel.intake
        return bool(super().can_consume()) if intake is None else intake.hungry()

    def append(self, message: Any, delivery_tag: str) -> None:
        if self.channel.intake is None:
            super().append(message, delivery_tag)
        else:  # the claim registered it
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        intake = self.channel.intake
        if intake is None:
            super().ack(delivery_tag)
        else:
            intake.delivery.acknowledge(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        intake = self.channel.intake
        if intake is None:
            super().reject(delivery_tag, requeue)
        else:
            intake.delivery.reject(delivery_tag, requeue=requeue)
            virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give back what stock workers have left behind. A full Redis refuses the lock for it: then later."""
        try:
            super().restore_visible(*args, **kwargs)
        except ResponseError as exc:
            if not refused_for_now(exc):
                raise

    def restore_unacked_once(self, *args: Any, **kwargs: Any) -> None:
        if self.channel.intake is None:
            super().restore_unacked_once(*args, **kwargs)


class ChannelMixin:
    """Over kombu's channel, or its channel for Sentinel."""

    QoS: Any = QoS
    _one_client: Any = None  # for one command after another, of any thread
    intake: Intake | None = None

    if TYPE_CHECKING:
        client: Any
        connection: Any
        active_queues: Any
        _queue_cycle: Any
        priority_steps: Any
        sep: str
        _in_poll: Any
        closed: bool
        connection_errors: Any
        global_keyprefix: str
        conn_or_acquire: Any
        auto_delete_queues: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ResponseError as exc:
            if not refused_for_now(exc):
                raise
            raise Lost(str(exc)) from exc  # the caller connects again, as for a Redis that is away
        if self.global_keyprefix:
            raise ChannelError(
                "global_keyprefix: claims and outcomes do not know it; "
                "use a database of its own, or CELERY_TRANSPORT=stock"
            )

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        if asynchronous:
            params["protocol"] = 3  # Redis tells an idle worker of a new message; with RESP2 it cannot
        return params

    def _on_connection_disconnect(self, connection: Any) -> None:
        """No answer will come on this connection any more. kombu also drops a connection that has fallen silent."""
        if self.intake is not None and self.intake.channel is self and connection is self.client.connection:
            self.intake.claims.forget()
        super()._on_connection_disconnect(connection)  # type: ignore[misc]

    # Claims

    def feed(self, intake: "Intake") -> None:
        """From here on this channel claims for a worker. Before, remote control (Celery's mingle) may have waited on it
        for answers: its BRPOP may still be under way, and its answer would be taken for that of a claim."""
        if self.intake is None and self._in_poll:
            self._in_poll.disconnect()
            self._in_poll = None
        self.intake = intake

    def _brpop_start(self, timeout: float | None = None) -> None:
        intake = self.intake
        if intake is None:
            if not all(is_answers(queue) for queue in self.active_queues):
                self._send_ahead()
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        room = intake.room()
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or room <= 0:
            return
        lists = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]  # type: ignore[attr-defined]
        dead = [keys.dead(queue) for _ in self.priority_steps for queue in queues]
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()  # kombu closes a connection that does not answer
        intake.claims.start(connection, lists, dead, room)
        if intake.claims.state == "waiting":
            self._brpop_sent_at = None  # type: ignore[assignment]

    def _brpop_read(self, **options: Any) -> Any:
        intake = self.intake
        if intake is None:
            return super()._brpop_read(**options)  # type: ignore[misc]
        connection = self.client.connection
        claims = intake.claims
        rung = claims.state == "waiting"
        try:
            batch = claims.read(self.client, connection)
            if rung:
                intake.pump()
                self._brpop_start()
                if claims.state == "claiming" and connection.can_read(timeout=ANSWER_SECONDS):
                    batch = claims.read(self.client, connection)
        except self.connection_errors:
            claims.forget()
            self._in_poll = None
            connection.disconnect()
            raise
        if claims.state == "idle":
            self._in_poll = None
        elif claims.state == "waiting":
            self._brpop_sent_at = None  # type: ignore[assignment]  # nothing is under way
        if batch is None:
            raise Empty
        self._queue_cycle_rotate(batch)
        claims.brought = len(batch.messages)
        try:
            if claims.state == "idle":
                self._brpop_start()  # the next claim is on its way while this batch is read and runs
        finally:
            claims.brought = 0
            intake.receive(batch)
        return True

    def _queue_cycle_rotate(self, batch: Any) -> None:
        if batch.messages:
            self._queue_cycle.rotate(queue_of(batch.messages[-1][0]))

    def overhear(self) -> None:
        """Read bells that nobody waits for: this worker has no room, or it would have claimed already. The connection
        may also have been closed; kombu connects again when there is room."""
        assert self.intake is not None
        connection = self.client.connection
        try:
            self.intake.claims.read(self.client, connection)
        except self.connection_errors:
            connection.disconnect()

    def rest(self) -> None:
        """The wait for a message has ended: the connection is free for the next claim."""
        if self.intake is not None and self.intake.claims.state == "idle":
            self._in_poll = None

    # The end of a channel

    def close(self) -> None:
        if self.intake is not None and not self.closed:
            if self.intake.channel is self:
                self._answer_claim(self.intake)
                self.intake.lost_channel()
            if self._in_poll:  # kombu would wait for the answer to a BRPOP here
                self._in_poll.disconnect()
                self._in_poll = None
        super().close()  # type: ignore[misc]

    def _answer_claim(self, intake: Intake) -> None:
        """Read the answer to a claim that was sent, and give its messages back."""
        if not self._in_poll or intake.claims.state != "claiming":
            return
        try:
            batch = intake.claims.read(self.client, self._in_poll)
        except (*self.connection_errors, ResponseError):
            return  # what it has claimed comes back when its lease is over
        if batch is not None:
            intake.give_back(batch)

    # Publishing

    def _create_client(self, asynchronous: bool = False) -> Any:
        """kombu makes a client for each message, which takes a quarter of the time of a publish."""
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[misc]  # a mixin: kombu's
        if self._one_client is None or self._one_client.connection_pool is not self.pool:  # type: ignore[attr-defined]  # kombu's
            self._one_client = super()._create_client()  # type: ignore[misc]  # a mixin: kombu's
        return self._one_client

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        commit = OPEN.commit
        if commit is None or kwargs.get("_publish_batch") is not None or address(self) != HOME.address:
            self._publish(queue, message, **kwargs)
            return
        list_key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))  # type: ignore[attr-defined]
        _capture(commit, list_key, message)

    def _publish(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        sent = sent_of(message) if self._life_length and kwargs.get("_publish_batch") is None else None
        if sent is None or queue in getattr(self, "_expires", ()):
            super()._put(queue, message, **kwargs)  # type: ignore[misc]  # a mixin: kombu's
            return
        list_key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))  # type: ignore[attr-defined]  # kombu's
        headers = message["headers"]
        record = put(str(headers.get("origin") or ""), list_key, sent, _due_us(headers.get("eta")))
        with self.conn_or_acquire() as client:
            PUT(client, [list_key], [dumps(message), self._life_length, record])

    @cached_property
    def _life_length(self) -> int:
        return Options.of(self.connection.client.transport_options).life_length

    # A body that reads a queue by itself

    def _send_ahead(self) -> None:
        """It may look for what it has sent, or for an answer to that."""
        own = OPEN.own
        if own is not None and (own.children or own.due) and address(self) == HOME.address:
            publish_ahead(HOME.app, own)

    def _get(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        self._send_ahead()
        return super()._get(queue, *args, **kwargs)  # type: ignore[misc]  # a mixin: kombu's

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        self._send_ahead()
        return bool(super()._has_queue(queue, **kwargs))  # type: ignore[misc]  # a mixin: kombu's

    # Purging

    def _purge(self, queue: str) -> int:
        """Purge, together with what is due later, and with the notes of publish once: the same work can be published
        again."""
        lists = [self._q_for_pri(queue, step) for step in self.priority_steps]  # type: ignore[attr-defined]  # kombu's
        with self.conn_or_acquire() as client:
            return purge(client, lists)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if queue not in self.auto_delete_queues:  # those are for replies and remote control, and are deleted often
            self._purge(queue)
        super()._delete(queue, *args, **kwargs)  # type: ignore[misc]  # a mixin: kombu's


def is_answers(queue: str) -> bool:
    """Whether workers answer remote control in it."""
    return queue.endswith(".pidbox")


def address(channel: Any) -> tuple[Any, ...]:
    """The address of a channel's broker. With several sentinels it is all of them and the name of the master: Celery
    may ask any of them."""
    told = channel.connection.client
    if told.alt:
        return *told.alt, getattr(channel, "master_name", None)
    return told.hostname, told.port, told.virtual_host


def _capture(commit: Commit, list_key: str, message: dict[str, Any]) -> None:
    """Make a message that a task publishes a part of its outcome. An ETA becomes a wait that begins with the commit, by
    Redis's clock: the ETA was made with the clock of this machine, which may be wrong."""
    headers = message.get("headers") or {}
    eta = headers.get("eta")
    if eta:
        try:
            due = datetime.fromisoformat(eta).timestamp()
        except (ValueError, TypeError):
            due = 0.0
        wait = due - time.time()
        if wait > 0:
            # A copy: listeners of after_task_publish see the headers after us.
            again = {**message, "headers": {**headers, "due_at": eta, "eta": None}}
            commit.add_due(list_key, dumps(again), int(wait * 1e6), sent_of(message))
            return
    commit.add_child(list_key, dumps(message), sent_of(message))


def _due_us(eta: Any) -> int:
    try:
        return int(datetime.fromisoformat(eta).timestamp() * 1e6)
    except (ValueError, TypeError, OverflowError):
        return 0


def sent_of(message: dict[str, Any]) -> Sent | None:
    """What the record of a message says; None if it is no task's."""
    headers, properties = message.get("headers") or {}, message.get("properties") or {}
    task_id, task = headers.get("id"), headers.get("task")
    if not task_id or not task:
        return None
    return str(task_id), str(properties.get("delivery_tag") or ""), str(task), facts_of(headers)


class Channel(ChannelMixin, kombu_redis.Channel):
    """Over one Redis."""


class SentinelChannel(ChannelMixin, kombu_redis.SentinelChannel):
    """Over a Redis that Sentinel names."""


class Poller(kombu_redis.MultiChannelPoller):
    _channels: set[Any]
    _fd_to_chan: dict[int, Any]
    hub: Any = None

    @property
    def fds(self) -> dict[int, Any]:
        """Those that the event loop does not read yet: kombu hands over all of them before each wait."""
        known = () if self.hub is None else self.hub.readers
        return {fd: channel for fd, channel in super().fds.items() if fd not in known}

    def on_readable(self, fileno: int) -> Any:
        """A bell rings, too, while a worker has no room. kombu takes a connection that speaks then for one that was
        closed, and closes it: under a steady load a busy worker connected again several times a second."""
        channel, kind = self._fd_to_chan.get(fileno, (None, ""))
        if kind == "BRPOP" and getattr(channel, "intake", None) is not None and not channel.qos.can_consume():
            channel.overhear()
            return None
        return super().on_readable(fileno)

    def on_poll_start(self) -> None:
        for channel in list(self._channels):
            intake = getattr(channel, "intake", None)
            if intake is not None:
                channel.rest()
                intake.pump()
                intake.committer.flush(wait=False)
                if intake.claims.state == "waiting":
                    intake.committer.read_answers()
        super().on_poll_start()


class TransportMixin:
    """Over kombu's transport, or its transport for Sentinel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        self.cycle.hub = loop
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]  # a mixin: kombu's


class Transport(TransportMixin, kombu_redis.Transport):
    """`broker_transport`; the URL stays redis://, rediss:// or redis+socket://."""

    Channel = Channel


class SentinelTransport(TransportMixin, kombu_redis.SentinelTransport):
    """The same over Sentinel: sentinel://."""

    Channel = SentinelChannel


__all__ = ["Channel", "ChannelMixin", "SentinelTransport", "Transport"]
