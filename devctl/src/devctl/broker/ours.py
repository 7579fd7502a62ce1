"""The broker adapter: a Redis that stock Celery producers, workers and result readers share with us."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from celeriac.broker import keys
from celeriac.broker.lists import lists
from celeriac.broker.options import Options
from celeriac.dead_letter import letters as dead_letters
from celeriac.dead_letter import replay as replaying
from celeriac.errors import Conflict, PublishError, QueueFull
from celeriac.publish.attempts import Patience
from celeriac.publish.publisher import Publisher
from celeriac.published import Published
from devctl.broker import claims, delayed, depth, frames, leases, results, server, task_events
from devctl.broker.address import Locate, Services, addresses, dead_bound, queue_bound
from devctl.broker.control import Control
from devctl.broker.port import (
    Acceptance,
    Consumer,
    Execution,
    Message,
    Note,
    QueueDepth,
    ServerInfo,
    TaskEvents,
    TaskResult,
)
from devctl.errors import DevctlError

TWICE = Patience(attempts=2)  # an answer that got lost is asked for once more
ORDER_SECONDS = 5.0  # a worker obeys between two tasks: a solo one that runs a task hears us when it ends


class CeleriacBroker:
    """One Redis database, and the Celery workers behind it."""

    def __init__(
        self,
        url: str,
        *,
        results_url: str = "",
        service: str = "",
        dead_bound: int = dead_letters.BOUND,
        queue_bound: int = Options.queue_bound,
    ) -> None:
        """Opens no connection. `service` is the broker's name in the stack, for hints; at `dead_bound` dead letters its
        workers stop claiming from a queue, at `queue_bound` messages nothing more is published once to it."""
        self.url = url
        self._results_url = results_url or url
        self._hint = f"start it: devctl up {service}" if service else "is Redis running there?"
        self._dead_bound = dead_bound
        self._client = server.connect(url)
        self._publisher = Publisher(self._client, queue_bound, TWICE)
        self._declared: set[str] = set()

    @classmethod
    def of(cls, stack: Services, locate: Locate) -> CeleriacBroker:
        """The broker that the services of this stack use, at its address on this machine."""
        found = addresses(stack, locate)
        return cls(
            found.broker,
            results_url=found.results,
            service=stack.broker,
            dead_bound=dead_bound(stack),
            queue_bound=queue_bound(stack),
        )

    @cached_property
    def _app(self) -> Celery:
        app = Celery("devctl", broker=self.url, set_as_current=False)
        wait = server.TIMEOUT_SECONDS
        app.conf.update(
            task_serializer="json",
            broker_transport_options={"socket_timeout": wait, "socket_connect_timeout": wait, "max_retries": 0},
        )
        return app

    @cached_property
    def _results(self) -> redis.Redis:
        return self._client if self._results_url == self.url else server.connect(self._results_url)

    @cached_property
    def _control(self) -> Control:
        return Control(self._client)

    def _answering(self, url: str = "") -> AbstractContextManager[None]:
        return server.answering(url or self.url, self._hint)

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
        accepted, started = 0, 0.0
        for queue, chunk in frames.chunks(messages):
            started = started or time.perf_counter()
            try:
                with self._answering():
                    self._client.lpush(queue, *chunk)
            except DevctlError as problem:
                # A refusal is certain. After silence, the server may still have taken the chunk.
                certain = isinstance(problem.__cause__, redis.ResponseError)
                doubt = 0 if certain else len(chunk)
                raise DevctlError(
                    problem.problem, hint=problem.hint, details=list(_shortfall(accepted, doubt, len(messages)))
                ) from problem
            accepted += len(chunk)
        return time.perf_counter() - started if started else 0.0

    def publish_once(self, messages: Sequence[Message]) -> Acceptance:
        """Publish what was not published before; DevctlError names a queue that is full, and other work under an id."""
        with self._answering():
            self._client.ping()  # what is wrong with the way to it has a name of its own
        started = time.perf_counter()
        try:
            published = self._publisher.publish_all(map(frames.once, messages))
        except (PublishError, Conflict) as exc:
            raise self._unpublished(exc, len(messages)) from exc
        seconds = time.perf_counter() - started
        return Acceptance(seconds, frozenset(published.duplicates), frozenset(published.missing))

    def _unpublished(self, error: PublishError | Conflict, total: int) -> DevctlError:
        became = error.published or Published()
        details = list(_shortfall(len(became.accepted) + len(became.duplicates), len(became.unknown), total))
        if isinstance(error, QueueFull):
            hint = "devctl queues shows who consumes it; CELERY_QUEUE_BOUND is how many may wait"
            return DevctlError(f"not published: {error}", hint=hint, details=details)
        if isinstance(error, Conflict):
            hint = "an id stands for one task: leave task_id out, and a new one is made"
            return DevctlError(f"not published: {error}", hint=hint, details=details)
        try:
            with self._answering():
                raise error.__cause__ or error
        except DevctlError as problem:
            return DevctlError(problem.problem, hint=problem.hint, details=details)

    def _declare(self, queues: set[str]) -> None:
        """Bind queues as kombu does, in its own bookkeeping, so that stock workers and monitors know them."""
        unknown = sorted(queues - self._declared)
        present = [self._client.exists(f"{depth.BINDINGS}{queue}") for queue in unknown]
        missing = [queue for queue, there in zip(unknown, present, strict=True) if not there]
        if missing:
            try:
                with self._app.connection_for_write() as connection:
                    for queue in missing:
                        self._app.amqp.queues[queue].bind(connection.default_channel).declare()
            except OperationalError as exc:
                raise redis.ConnectionError(str(exc)) from exc
        self._declared |= queues

    def queues(self, names: Sequence[str]) -> list[QueueDepth]:
        """Depths of these queues and of any other queue the broker knows."""
        with self._answering():
            return depth.depths(self._client, names, dead_bound=self._dead_bound)

    def consumers(self, *, expected: int | None = None, timeout: float = 1.0) -> list[Consumer]:
        """Workers that answer within `timeout`; returns as soon as `expected`, or all that listen, have."""
        with self._answering():
            answers = self._control.ask(["active_queues", "registered"], expected=expected, timeout=timeout)
        return [
            Consumer(
                node,
                queues=tuple(_names(said)),
                tasks=tuple(name.partition(" [")[0] for name in said.get("registered") or ()),
            )
            for node, said in sorted(answers.items())
        ]

    def consume(self, queue: str, nodes: Sequence[str]) -> None:
        """Tell these workers to consume one more queue."""
        self._order(queue, "add_consumer", {"queue": queue, "exchange": queue, "routing_key": queue}, nodes)

    def stop_consuming(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Tell these workers, or all, to leave a queue."""
        self._order(queue, "cancel_consumer", {"queue": queue}, nodes)

    def _order(self, queue: str, method: str, arguments: dict[str, Any], nodes: Sequence[str] | None) -> None:
        if nodes is not None and not nodes:
            return
        deadline = time.monotonic() + ORDER_SECONDS
        with self._answering():
            heard = self._control.ask([method], arguments=arguments, nodes=nodes, timeout=ORDER_SECONDS / 2)
            # Celery says "ok" first and obeys later, so we look until it has.
            late = set(nodes if nodes is not None else heard)
            while late and time.monotonic() < deadline:
                left = deadline - time.monotonic()
                said = self._control.ask(["active_queues"], nodes=sorted(late), timeout=left)
                late -= {node for node, one in said.items() if (queue in _names(one)) == (method == "add_consumer")}
                time.sleep(0.01 if late else 0)
        if late:
            raise DevctlError(
                f"{len(late)} of {len(nodes or heard)} workers did not obey {method} within {ORDER_SECONDS:g} s",
                hint="devctl queues shows who consumes what",
                details=[f"{node}: {heard.get(node, {}).get(method, 'no answer')}" for node in sorted(late)],
            )

    def events(self) -> AbstractContextManager[TaskEvents]:
        """What workers tell of their tasks, from the begin of the block to its end."""
        return task_events.listening(self._app.connection_for_read())

    def send_events(self, nodes: Sequence[str]) -> list[str]:
        """Tell these workers to send task events; returns those that did not before."""
        with self._answering():
            said = self._control.ask(["enable_events"], nodes=nodes, timeout=ORDER_SECONDS)
        if silent := sorted({*nodes} - {*said}):
            raise DevctlError(f"{silent[0]} does not answer", hint="devctl queues shows who does")
        return [node for node in nodes if "already" not in str(said[node].get("enable_events"))]

    def withhold_events(self, nodes: Sequence[str]) -> None:
        """Tell these workers to send no task events; one that is gone sends none."""
        with self._answering():
            self._control.ask(["disable_events"], nodes=nodes, timeout=ORDER_SECONDS / 5)

    def results(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now, in the same order; does not wait."""
        found: list[TaskResult] = []
        with self._answering(self._results_url):
            for ids in _batches(task_ids, 1_000):
                stored = cast("list[bytes | None]", self._results.mget([results.key(one) for one in ids]))
                found += map(results.read, ids, stored)
        return found

    def task_ids(self, start: str) -> list[str]:
        """The ids of tasks with a result or a note that begin so."""
        found: set[str] = set()
        for client, url, head in (
            (self._client, self.url, keys.ONCE),
            (self._results, self._results_url, results.key("")),
        ):
            with self._answering(url):
                pattern = head + re.sub(r"([*?\[\]\\])", r"\\\1", start) + "*"
                named = client.scan_iter(match=pattern, count=5_000, _type="string")
                found |= {name.decode(errors="replace").removeprefix(head) for name in named}
        return sorted(found)

    def note(self, task_id: str) -> Note:
        """What publish once has written of this task."""
        with self._answering():
            stored = cast("bytes | None", self._client.get(keys.once(task_id)))
        if not stored:
            return ""
        return "done" if stored.startswith(b"done") else "queued"

    def letters(
        self,
        *,
        queue: str = "",
        older_than: float | None = None,
        newer_than: float | None = None,
        newest_first: bool = False,
    ) -> Iterator[dead_letters.Letter]:
        """Dead letters, by time, without their messages; ages in seconds."""
        with self._answering():
            yield from dead_letters.read(
                self._client, queue=queue, older_than=older_than, newer_than=newer_than, newest_first=newest_first
            )

    def letter(self, letter_id: str) -> dead_letters.Letter | None:
        """One dead letter with its message."""
        with self._answering():
            return dead_letters.find(self._client, letter_id)

    def replay(self, letter: dead_letters.Letter) -> bool:
        """Put it back into its queue, once."""
        with self._answering():
            return replaying.replay(self._client, letter)

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove dead letters for ever."""
        with self._answering():
            return dead_letters.drop(self._client, letter_ids)

    def expired(self) -> int:
        """Count the claims of workers that died, where nobody else returns them."""
        with self._answering():
            return leases.expired(self._client)

    def give_back(self) -> int:
        """Return claims whose worker died where nobody else does."""
        with self._answering():
            return leases.give_back(self._client)

    def executed(self, run: str) -> int:
        """How many executions a bench run's ledger holds; one cheap call."""
        with self._answering():
            return self._client.llen(_ledger(run))

    def ledger(self, run: str) -> list[Execution]:
        """A bench run's ledger, in order of arrival."""
        entries: list[Execution] = []
        with self._answering():
            while page := cast("list[bytes]", self._client.lrange(_ledger(run), len(entries), len(entries) + 9_999)):
                entries += (Execution(*json.loads(entry)) for entry in page)
        return entries

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        """Remove a bench run's queues, ledger, results and records, and nothing else."""
        with self._answering():
            names = [_ledger(run)]
            for queue in queues:
                names += [*lists(queue), keys.dead(queue)]
                names += [f"{depth.BINDINGS}{queue}", f"_kombu.binding_permanent.{queue}"]
            self._client.unlink(*names)
            claims.drop(self._client, queues)
            delayed.drop(self._client, queues)
            self._declared -= set(queues)
            for ids in _batches(task_ids, 1_000):
                self._client.unlink(*map(keys.once, ids))
        with self._answering(self._results_url):
            for ids in _batches(task_ids, 1_000):
                self._results.unlink(*(results.key(one) for one in ids))


def _names(said: Mapping[str, Any]) -> list[str]:
    return [queue["name"] for queue in said.get("active_queues") or ()]


def _ledger(run: str) -> str:
    return f"devctl:bench:{run}:ledger"


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _shortfall(accepted: int, doubt: int, total: int) -> Iterable[str]:
    yield f"{accepted:,} of {total:,} messages were accepted"
    if doubt:
        yield f"{doubt:,} more may have been: no answer came"
