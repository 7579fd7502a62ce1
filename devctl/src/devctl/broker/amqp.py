"""The adapter for stock Celery on RabbitMQ."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any

from amqp import exceptions as errors
from celery import Celery
from kombu import Connection, Producer

from devctl.broker import amqp_connection as wire
from devctl.broker import runs
from devctl.broker.amqp_mailbox import AmqpMailbox
from devctl.broker.management import Management
from devctl.broker.plain import App, PlainBroker, shortfall
from devctl.broker.port import Message, QueueDepth, ServerInfo, TaskResult
from devctl.broker.replies import Replies
from devctl.broker.results import Results
from devctl.broker.workers import Workers
from devctl.errors import DevctlError

CHUNK = 500  # messages of one transaction: all of them are accepted, or none
_INTERNAL = ("celery.pidbox", "celeryev")


class AmqpBroker(PlainBroker):
    """One virtual host of a RabbitMQ, and the stock Celery workers behind it.

    A queue that is not there is not made: its worker would be refused if it declared it in another way, such as with
    priorities or as a quorum queue. `makes` says for which queues that cannot be: those of a bench.
    """

    def __init__(
        self,
        url: str,
        app: App = App(),  # noqa: B008  # frozen
        management: tuple[str, int] | None = None,
        makes: Callable[[str], bool] = lambda queue: queue.startswith(runs.queue("")),
    ) -> None:
        super().__init__(url, app)
        self._management = Management(url, management)
        self._makes = makes
        self._open: Connection | None = None

    _more = "and celeriac, which does, needs Redis as its broker"

    def _connection(self) -> Connection:
        return wire.connection(self.url)

    @property
    def _connected(self) -> Connection:
        if self._open is None or not self._open.connected:
            self._open = self._connection()
            wire.connect(self._open)
        return self._open

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        channel: Any = self._connected.channel()
        try:
            yield channel
        finally:
            with suppress(errors.AMQPError, OSError):
                channel.close()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            with wire.answering(self.url, self._about.hint):
                yield
        except DevctlError:
            self._open = None  # what came half may be in it
            raise

    @property
    def _workers(self) -> Workers:
        return Workers(AmqpMailbox(self._connected))

    @cached_property
    def _app(self) -> Celery:
        app = Celery("devctl", broker=self.url, set_as_current=False)
        app.conf.update(task_serializer="json")
        return app

    def _opened(self, url: str) -> Results:
        return Replies(self._connection) if url.startswith(("rpc", "amqp")) else super()._opened(url)

    def results(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now."""
        with self._answering() if isinstance(self._results, Replies) else nullcontext():
            return super().results(task_ids)

    @property
    def returned(self) -> str:
        """The server does it."""
        return "RabbitMQ itself gives back what a dead worker had claimed, when its connection is gone"

    def info(self) -> ServerInfo:
        """Ask the server what it is; DevctlError where it does not answer."""
        with self._answering():
            said: Mapping[str, Any] = self._connected.connection.server_properties
        return ServerInfo(str(said.get("product", "AMQP")).lower(), str(said.get("version", "")), "", "", 0, 0)

    def publish(self, messages: Sequence[Message]) -> float:
        """Publish all, in order, each chunk in one transaction; DevctlError says how many were accepted."""
        with self._answering():
            for queue in dict.fromkeys(message.queue for message in messages):
                self._check(queue)
            reply_to = self._results.address if isinstance(self._results, Replies) else None
        accepted, started = 0, time.perf_counter()
        for begin in range(0, len(messages), CHUNK):
            chunk = messages[begin : begin + CHUNK]
            try:
                with self._answering(), self._channel() as channel:
                    channel.tx_select()
                    producer = Producer(channel, auto_declare=False)
                    for message in chunk:
                        self._send(message, producer, reply_to)
                    channel.tx_commit()
            except DevctlError as problem:
                details = list(shortfall(accepted, len(chunk), len(messages)))
                raise DevctlError(problem.problem, hint=problem.hint, details=details) from problem
            accepted += len(chunk)
        return time.perf_counter() - started

    def _send(self, message: Message, producer: Producer, reply_to: str | None) -> None:
        json.dumps([message.args, dict(message.kwargs), dict(message.headers)])  # what is not JSON cannot travel
        self._app.send_task(
            message.task,
            args=list(message.args),
            kwargs=dict(message.kwargs),
            task_id=message.task_id,
            queue=message.queue,
            headers=dict(message.headers),
            ignore_result=message.ignore_result,
            reply_to=reply_to,
            producer=producer,
            declare=[],
            retry=False,
        )

    def _check(self, queue: str) -> None:
        if self._ready(queue) is not None:
            return
        if not self._makes(queue):
            raise DevctlError(
                f"not published: there is no queue {queue!r} on {wire.place(self.url)} yet, and RabbitMQ would drop it",
                hint="a worker that consumes it makes it, in its own way: start that one first (devctl up), then again",
            )
        with self._channel() as channel:
            self._app.amqp.queues[queue].bind(channel).declare()

    def _ready(self, queue: str) -> tuple[int, int] | None:
        """Messages that wait, and consumers; None where there is no such queue."""
        with self._channel() as channel:
            try:
                _, waiting, consumers = channel.queue_declare(queue, passive=True)
            except errors.NotFound:
                return None
            except errors.ResourceLocked:  # exclusive: somebody's inbox
                return None
        return int(waiting), int(consumers)

    @property
    def blind(self) -> str:
        """AMQP has no list of queues."""
        if self._management.queues() is not None:
            return ""
        return (
            "RabbitMQ's management API does not answer (port 15672; an image such as rabbitmq:4-management has it):"
            " only queues that a worker consumes or a task goes to are shown, and nobody tells what is claimed"
        )

    def queues(self, names: Sequence[str], *, search: bool = True) -> list[QueueDepth]:
        """Depths of these queues and, after a search, where the management API answers, of all others."""
        listed = self._management.queues()
        told = {one["name"]: one for one in listed or () if _is_for_tasks(one)}
        known = listed is not None
        depths = []
        with self._answering():
            for name in dict.fromkeys([*names, *(sorted(told) if search else ())]):
                about = told.get(name, {})
                waiting, consumers = self._ready(name) or (0, 0)
                claimed = int(about.get("messages_unacknowledged", 0)) if known else None
                to = self._dead_letters_to(about)
                depths.append(QueueDepth(name, waiting, claimed, consumers=consumers, dead_letters_to=to))
        return depths

    def _dead_letters_to(self, about: Mapping[str, Any]) -> str:
        given = {**(about.get("effective_policy_definition") or {}), **(about.get("arguments") or {})}
        exchange = given.get("x-dead-letter-exchange", given.get("dead-letter-exchange"))
        if exchange is None:
            return ""
        key = given.get("x-dead-letter-routing-key", given.get("dead-letter-routing-key"))
        queues = self._management.bound_to(exchange, key)
        return ", ".join(queues) or f"exchange {exchange}, which no queue is bound to"

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        """Remove a bench run's queues, with the exchanges of the same names, and what its tasks left."""
        with self._answering():
            for queue in queues:
                for delete in ("queue_delete", "exchange_delete"):
                    with self._channel() as channel, suppress(errors.NotFound):
                        getattr(channel, delete)(queue)
        self._results.drop(task_ids)


def _is_for_tasks(about: Mapping[str, Any]) -> bool:
    passing = about.get("auto_delete") or about.get("exclusive")
    return not passing and not any(one in str(about.get("name")) for one in _INTERNAL)
