"""The adapter for stock Celery on Redis: no key and no header of ours gets into somebody's broker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import redis
from kombu.exceptions import OperationalError

from devctl.broker import claims, depth, server
from devctl.broker import place as places
from devctl.broker.control import Control
from devctl.broker.layout import BINDINGS, Layout, seen
from devctl.broker.plain import App, PlainBroker, shortfall
from devctl.broker.port import Holder, Message, Place, QueueDepth, ServerInfo
from devctl.broker.workers import Workers
from devctl.errors import DevctlError

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

_TOLD = ("priority_steps", "fanout_prefix", "visibility_timeout")
"""Of the options that a worker tells; the prefix it hides, and the separator has to be known before it is asked."""


class StockBroker(PlainBroker):
    """One Redis database, and the stock Celery workers behind it."""

    stamp = False
    """Whether messages carry the time at which they were published."""
    _dead_bound: int | None = None

    def __init__(self, url: str, app: App = App()) -> None:  # noqa: B008  # frozen
        super().__init__(url, app)
        self._declared: set[str] = set()
        self._known: depth.Known | None = None

    @cached_property
    def _client(self) -> redis.Redis:
        return self._connect(self.url)

    @cached_property
    def _layout(self) -> Layout:
        told = self._about.transport.get("global_keyprefix")
        seen_here = seen(self._client, told if isinstance(told, str) else None)
        first = Layout.of({**self._about.transport, **seen_here})
        return Layout.of({**self._transport(first), **seen_here})

    def _transport(self, layout: Layout) -> Mapping[str, Any]:
        """The options of the transport: where no file says them, a living worker is asked."""
        if self._about.transport:
            return self._about.transport
        answers = Workers(Control(self._client, layout)).say("conf", timeout=0.5)
        told = next((one.get("broker_transport_options") for one in answers.values()), None)
        return {name: told[name] for name in _TOLD if name in told} if isinstance(told, dict) else {}

    @cached_property
    def _workers(self) -> Workers:
        return Workers(Control(self._client, self._layout))

    @cached_property
    def _app(self) -> Celery:
        from celery import Celery

        app = Celery("devctl", broker=server.plain(self.url), set_as_current=False)
        wait = server.TIMEOUT_SECONDS
        layout = self._layout
        app.conf.update(
            task_serializer="json",
            broker_transport_options={
                "socket_timeout": wait,
                "socket_connect_timeout": wait,
                "max_retries": 0,
                "global_keyprefix": layout.prefix,
                "sep": layout.separator,
                "priority_steps": list(layout.steps),
            },
        )
        return app

    def _connection(self) -> Connection:
        return self._app.connection_for_read()

    def _answering(self) -> AbstractContextManager[None]:
        return server.answering(self.url, self._about.hint)

    @property
    def returned(self) -> str:
        """Any other worker does it, late."""
        with self._answering():
            seconds = self._transport(self._layout).get("visibility_timeout")
        late = f"{seconds} s" if seconds else "an hour"
        return (
            f"stock workers give back what a dead one had claimed, {late} after it was claimed (visibility_timeout of"
            " broker_transport_options) and while one of them lives; with celeriac it takes seconds"
        )

    def info(self) -> ServerInfo:
        """Ask the server what it is; DevctlError where it does not answer."""
        with self._answering():
            return server.describe(self._client)

    def publish(self, messages: Sequence[Message]) -> float:
        """Publish all, in order, in chunks; DevctlError says how many were accepted where it fails midway."""
        with self._answering():
            self._declare({message.queue for message in messages})
        return self._send(messages)

    def _send(self, messages: Sequence[Message]) -> float:
        from devctl.broker import frames  # a third of a second, for those who publish

        accepted, started = 0, 0.0
        for queue, chunk in frames.chunks(messages, self.stamp):
            started = started or time.perf_counter()
            try:
                with self._answering():
                    self._client.lpush(self._layout.key(queue), *chunk)
            except DevctlError as problem:
                # A refusal is certain. After silence, the server may still have taken the chunk.
                certain = isinstance(problem.__cause__, redis.ResponseError)
                doubt = 0 if certain else len(chunk)
                raise DevctlError(
                    problem.problem, hint=problem.hint, details=list(shortfall(accepted, doubt, len(messages)))
                ) from problem
            accepted += len(chunk)
        return time.perf_counter() - started if started else 0.0

    def _declare(self, queues: set[str]) -> None:
        """Bind queues as kombu does, in its own bookkeeping, so that stock workers and monitors know them."""
        unknown = sorted(queues - self._declared)
        present = [self._client.exists(self._layout.key(f"{BINDINGS}{queue}")) for queue in unknown]
        missing = [queue for queue, there in zip(unknown, present, strict=True) if not there]
        if missing:
            try:
                with self._app.connection_for_write() as connection:
                    for queue in missing:
                        self._app.amqp.queues[queue].bind(connection.default_channel).declare()
            except OperationalError as exc:
                raise redis.ConnectionError(str(exc)) from exc
        self._declared |= queues

    def queues(self, names: Sequence[str], *, search: bool = True) -> list[QueueDepth]:
        """Depths of these queues and, after a search, of any other queue the broker knows."""
        bound = self._dead_bound
        with self._answering():
            if search or self._known is None:
                self._known = depth.search(self._client, self._layout, letters=bound is not None)
            return depth.depths(
                self._client, names, self._layout, dead_bound=bound, known=self._known, alone=not search
            )

    def holder(self, task_id: str) -> Holder | None:
        """The worker that has it, else the queue that its message lies in: of each, the newest are looked at."""
        if found := super().holder(task_id):
            return found
        found_at = self.place(task_id)
        return None if found_at is None else Holder(queue=found_at.queue, claimed=found_at.state == "claimed")

    def place(self, task_id: str, queue: str = "") -> Place | None:
        """Where its message lies: of each queue and of the claims, the next to be taken are looked at."""
        with self._answering():
            queues = [queue] if queue else [one.name for one in self.queues([]) if one.waiting]
            return places.place(self._client, self._layout, task_id, queues, due=self.celeriac)

    def oldest(self, queues: Sequence[str], most: int = 20) -> Mapping[str, Sequence[str]]:
        """The tasks of the messages that are taken next, in one round trip."""
        with self._answering():
            return places.oldest(self._client, self._layout, queues, most)

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        """Remove a bench run's queues, with what is claimed of them, and what its tasks left."""
        with self._answering():
            names = []
            for queue in queues:
                names += [*self._layout.lists(queue)]
                names += [self._layout.key(f"{one}{queue}") for one in (BINDINGS, "_kombu.binding_permanent.")]
            if names:
                self._client.unlink(*names)
            claims.drop(self._client, queues, self._layout)
            self._declared -= set(queues)
        self._results.drop(task_ids)
