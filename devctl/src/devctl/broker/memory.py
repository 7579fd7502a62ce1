"""A broker in memory with workers in memory, for tests: of devctl, and of whoever builds on it.

    broker = MemoryBroker()
    broker.add_worker("worker@1", queues=["images"], bodies={"tasks.echo": lambda payload: payload})
    broker.publish([Message("tasks.echo", "images", task_id="1", args=({"n": 1},))])
    broker.results(["1"])[0].result == {"n": 1}

Workers run what waits whenever somebody looks (`results`, `executed`, `ledger`, `events`); with `eager=False`, when
`work` says.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from celeriac.dead_letter.letters import BOUND, Letter, Reason, key_and_id
from celeriac.dead_letter.replay import Unreadable, opened
from celeriac.life.extent import Extent
from celeriac.life.record import Record
from celeriac.message.fingerprint import fingerprint
from devctl.broker.port import (
    Acceptance,
    Consumer,
    EventKind,
    Execution,
    Holder,
    Message,
    Note,
    Place,
    QueueDepth,
    Running,
    ServerInfo,
    TaskEvent,
    TaskEvents,
    TaskResult,
    Worker,
)
from devctl.errors import DevctlError

Body = Callable[..., Any]


@dataclass
class MemoryWorker:
    """One worker: what it consumes and how it does it."""

    node: str
    queues: list[str]
    bodies: Mapping[str, Body]
    answers: bool = True
    """False: it works but is too busy to answer questions."""
    tells: bool = False
    """It sends task events."""
    conf: Mapping[str, Any] = field(default_factory=dict)
    """What its app's settings are."""
    threads: int = 1
    running: list[Running] = field(default_factory=list)
    """What it says that it runs."""


@dataclass
class MemoryEvents:
    """What was told and not taken yet."""

    look: Callable[[], None]
    problem: str = ""
    came: list[TaskEvent] = field(default_factory=list)

    def taken(self) -> list[TaskEvent]:
        self.look()
        came, self.came = self.came, []
        return came


@dataclass
class MemoryLife:
    """Records that a test puts here; the id of an entry is its number."""

    records: list[Record] = field(default_factory=list)
    why_none: str = ""
    clock: Callable[[], float] = time.time

    def find(self, texts: Sequence[str], since: float = 0.0) -> list[Record]:
        return [one for one in self.records if one.at >= since and any(text in repr(one) for text in texts)]

    def newest(self) -> str:
        return str(len(self.records))

    def follow(self, after: str, wait_seconds: float = 0.0) -> tuple[str, list[Record]]:
        return self.newest(), self.records[int(after) :]

    def now(self) -> float:
        return self.clock()

    def span(self) -> Extent:
        times = [one.at for one in self.records]
        return Extent(min(times, default=None), max(times, default=None), len(times), 100 * len(times))


@dataclass
class MemoryBroker:
    """Keeps what a Redis would keep; see the module for how its workers run."""

    url: str = "memory://"
    celeriac: bool = True
    blind: str = ""
    why_no_results: str = ""
    returned: str = ""
    life: MemoryLife = field(default_factory=MemoryLife)
    holders: Mapping[str, Holder] = field(default_factory=dict)
    """What workers say that they have: task id -> who."""
    clock: Callable[[], float] = time.time
    eager: bool = True
    away: str = ""
    """Not empty: every call fails with this problem."""
    workers: list[MemoryWorker] = field(default_factory=list)
    published: list[Message] = field(default_factory=list)
    """Everything that was ever published, in order."""
    server: ServerInfo = field(default_factory=lambda: ServerInfo("memory", "1.0", "AOF everysec", "noeviction", 0, 0))
    queue_bound: int = 100_000
    """So many messages fill a queue."""
    dead_bound: int = BOUND
    """So many dead letters stop a queue."""
    _waiting: dict[str, deque[tuple[float, Message]]] = field(default_factory=dict)
    _works: dict[str, str] = field(default_factory=dict)
    _claimed: dict[str, list[Message]] = field(default_factory=dict)
    _abandoned: list[Message] = field(default_factory=list)
    _paused: set[str] = field(default_factory=set)
    _delayed: list[Message] = field(default_factory=list)
    _dead: dict[str, Letter] = field(default_factory=dict)
    _results: dict[str, TaskResult] = field(default_factory=dict)
    _ledgers: dict[str, list[Execution]] = field(default_factory=dict)
    _listeners: list[MemoryEvents] = field(default_factory=list)

    def add_worker(self, node: str, *, queues: Sequence[str], bodies: Mapping[str, Body]) -> MemoryWorker:
        """Start a worker; `bodies` are the tasks that it has registered."""
        worker = MemoryWorker(node, list(queues), dict(bodies))
        self.workers.append(worker)
        return worker

    def work(self, limit: int | None = None) -> int:
        """Let the workers run up to `limit` messages, in turn; returns how many they ran."""
        done = 0
        while limit is None or done < limit:
            before = done
            for worker in self.workers:
                if (limit is None or done < limit) and (message := self.claim(worker.queues)) is not None:
                    self._run(worker, message)
                    self.acknowledge(message)
                    done += 1
            if done == before:
                break
        return done

    def claim(self, queues: Sequence[str]) -> Message | None:
        """Take the oldest message of the first of these queues that has one."""
        for queue in queues:
            if self._waiting.get(queue) and queue not in self._paused and not self._stopped(queue):
                message = self._waiting[queue].popleft()[1]
                self._claimed.setdefault(queue, []).append(message)
                return message
        return None

    def acknowledge(self, message: Message) -> None:
        """A claimed message is done."""
        if message in self._claimed.get(message.queue, []):
            self._claimed[message.queue].remove(message)

    def abandon(self, message: Message) -> None:
        """The worker that claimed it died, and its lease is over."""
        self._abandoned.append(message)

    def delay(self, message: Message) -> None:
        """A message that is due one day."""
        self._delayed.append(message)

    def bury(self, letter: Letter) -> None:
        """A dead letter; with its message, `raw`."""
        self._dead[letter.id] = letter

    def _stopped(self, queue: str) -> bool:
        return sum(one.queue == queue for one in self._dead.values()) >= self.dead_bound

    def _run(self, worker: MemoryWorker, message: Message) -> None:
        if message.task not in worker.bodies:  # as Celery does: dropped, and its result never comes
            return
        started = self.clock()
        self._tell(worker, "received", message)
        self._tell(worker, "started", message)
        try:
            done = TaskResult(
                message.task_id, "succeeded", worker.bodies[message.task](*message.args, **message.kwargs)
            )
        except Exception as exc:
            done = TaskResult(message.task_id, "failed", error_type=type(exc).__name__, error_message=str(exc))
        self._tell(worker, "failed" if done.state == "failed" else "succeeded", message)
        if run := message.headers.get("bench_run"):
            execution = Execution(message.task_id, started, self.clock(), worker.node)
            self._ledgers.setdefault(str(run), []).append(execution)
        if not message.ignore_result:
            self._results[message.task_id] = replace(done, finished=self.clock())

    def _tell(self, worker: MemoryWorker, kind: EventKind, message: Message) -> None:
        for listener in self._listeners if worker.tells else ():
            listener.came.append(TaskEvent(kind, message.task_id, self.clock(), worker.node))

    def _reach(self) -> None:
        if self.away:
            raise DevctlError(self.away, hint="is it running?")

    def info(self) -> ServerInfo:
        self._reach()
        return self.server

    def publish(self, messages: Sequence[Message]) -> float:
        self._reach()
        started = self.clock()
        for message in messages:
            json.dumps([message.args, dict(message.kwargs), dict(message.headers)])  # what is not JSON cannot travel
            stamp = float(message.headers.get("published_at", self.clock()))
            self._waiting.setdefault(message.queue, deque()).append((stamp, message))
            self.published.append(message)
        return self.clock() - started

    def publish_once(self, messages: Sequence[Message]) -> Acceptance:
        self._reach()
        asked = {one.task_id: fingerprint(one.task, one.args, one.kwargs) for one in messages}
        if other := [one for one, work in asked.items() if self._works.get(one, work) != work]:
            raise DevctlError(f"not published: {other[0]} was published before, with other content")
        new = [one for one in messages if one.task_id not in self._works]
        for queue in {one.queue for one in new}:
            waiting = len(self._waiting.get(queue, ()))
            if waiting + sum(one.queue == queue for one in new) > self.queue_bound:
                raise DevctlError(f"not published: queue {queue} is full: {waiting:,} messages wait")
        self._works |= asked
        return Acceptance(self.publish(new), frozenset(asked) - {one.task_id for one in new})

    def queues(self, names: Sequence[str], *, search: bool = True) -> list[QueueDepth]:
        self._reach()
        if not search:
            return [self._depth(name) for name in names]
        consumed = {queue for worker in self.workers for queue in worker.queues}
        left = {one.queue for one in self._delayed} | {one.queue for one in self._dead.values()}
        known = sorted(set(self._waiting) | consumed | left)
        return [self._depth(name) for name in dict.fromkeys([*names, *known])]

    def _depth(self, name: str) -> QueueDepth:
        waiting = self._waiting.get(name, deque())
        oldest = max(0.0, self.clock() - waiting[0][0]) if waiting else None
        return QueueDepth(
            name,
            len(waiting),
            len(self._claimed.get(name, [])),
            oldest,
            delayed=sum(one.queue == name for one in self._delayed),
            dead=sum(one.queue == name for one in self._dead.values()),
            stopped=self._stopped(name),
        )

    def consumers(self, *, expected: int | None = None, timeout: float = 1.0) -> list[Consumer]:
        self._reach()
        found = [
            Consumer(worker.node, tuple(worker.queues), tuple(sorted(worker.bodies)))
            for worker in self.workers
            if worker.answers
        ]
        return sorted(found, key=lambda consumer: consumer.node)[:expected]

    def at_work(self, *, timeout: float = 1.0) -> list[Worker]:
        self._reach()
        found = [
            Worker(one.node, tuple(one.queues), one.threads, tuple(one.running)) for one in self.workers if one.answers
        ]
        return sorted(found, key=lambda worker: worker.node)

    def conf(self, *, timeout: float = 1.0) -> Mapping[str, Mapping[str, Any]]:
        self._reach()
        return {one.node: one.conf for one in self.workers if one.answers}

    def stats(self, *, timeout: float = 1.0) -> Mapping[str, Mapping[str, Any]]:
        self._reach()
        return {one.node: {"pool": {"max-concurrency": 1}} for one in self.workers if one.answers}

    def consume(self, queue: str, nodes: Sequence[str]) -> None:
        for worker in self._obeying(nodes):
            worker.queues = [*dict.fromkeys([*worker.queues, queue])]

    def stop_consuming(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        for worker in self._obeying([one.node for one in self.workers] if nodes is None else nodes):
            worker.queues = [one for one in worker.queues if one != queue]

    def pause(self, queue: str) -> None:
        self._reach()
        if not (self.celeriac or any(queue in one.queues for one in self.workers)):
            raise DevctlError(f"no worker consumes {queue}: nothing to pause")
        self._paused.add(queue)

    def resume(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        self._reach()
        if not self.celeriac and queue not in self._paused:
            raise DevctlError(f"nobody knows which workers are to consume {queue}")
        self._paused.discard(queue)

    def paused(self) -> frozenset[str]:
        self._reach()
        return frozenset(self._paused)

    def _obeying(self, nodes: Sequence[str]) -> list[MemoryWorker]:
        self._reach()
        there = {worker.node: worker for worker in self.workers if worker.answers}
        if silent := [node for node in nodes if node not in there]:
            raise DevctlError(f"{len(silent)} of {len(nodes)} workers did not obey", details=silent)
        return [there[node] for node in nodes]

    @contextmanager
    def events(self) -> Iterator[TaskEvents]:
        self._reach()
        listener = MemoryEvents(self._look)
        self._listeners.append(listener)
        yield listener
        self._listeners.remove(listener)

    def send_events(self, nodes: Sequence[str]) -> list[str]:
        new = [worker for worker in self._obeying(nodes) if not worker.tells]
        for worker in new:
            worker.tells = True
        return [worker.node for worker in new]

    def withhold_events(self, nodes: Sequence[str]) -> None:
        self._reach()
        for worker in self.workers:
            worker.tells = worker.tells and worker.node not in nodes

    def says(self, task_id: str, progress: float, note: str = "") -> None:
        """A task says how far it is."""
        self._results[task_id] = TaskResult(task_id, "started", progress=progress, note=note)

    def results(self, task_ids: Sequence[str]) -> list[TaskResult]:
        self._look()
        return [self._results.get(one, TaskResult(one, "pending")) for one in task_ids]

    def holder(self, task_id: str) -> Holder | None:
        self._reach()
        return self.holders.get(task_id)

    def place(self, task_id: str, queue: str = "") -> Place | None:
        self._reach()
        for name, waiting in self._waiting.items():
            for behind, (_, message) in enumerate(waiting):
                if message.task_id == task_id and queue in ("", name):
                    return Place("waiting", name, behind, task=message.task)
        for name, claimed in self._claimed.items():
            if any(message.task_id == task_id for message in claimed):
                return Place("claimed", name)
        return next((Place("due", one.queue) for one in self._delayed if one.task_id == task_id), None)

    def oldest(self, queues: Sequence[str], most: int = 20) -> Mapping[str, Sequence[str]]:
        self._reach()
        waiting = {queue: self._waiting.get(queue, deque()) for queue in queues}
        return {queue: [one.task for _, one in islice(found, most)] for queue, found in waiting.items() if found}

    def task_ids(self, start: str) -> list[str]:
        self._look()
        return sorted(one for one in {*self._results, *self._works} if one.startswith(start))

    def note(self, task_id: str) -> Note:
        self._look()
        if task_id not in self._works:
            return ""
        return "done" if task_id in self._results else "queued"

    def letters(
        self,
        *,
        queue: str = "",
        older_than: float | None = None,
        newer_than: float | None = None,
        newest_first: bool = False,
    ) -> Iterator[Letter]:
        self._reach()
        first = float("-inf") if newer_than is None else self.clock() - newer_than
        last = float("inf") if older_than is None else self.clock() - older_than
        found = [one for one in self._dead.values() if queue in ("", one.queue) and first <= one.time <= last]
        for one in sorted(found, key=lambda letter: letter.time, reverse=newest_first):
            yield replace(one, raw=None)

    def letter(self, letter_id: str) -> Letter | None:
        self._reach()
        key_and_id(letter_id)
        return self._dead.get(letter_id)

    def replay(self, letter: Letter) -> bool:
        self._reach()
        if letter.raw is None:
            raise ValueError("a letter of a list has no message")
        if letter.reason == Reason.UNDECODABLE:
            raise Unreadable("it is undecodable")
        message = opened(letter.raw)
        if self._dead.pop(letter.id, None) is None:
            return False
        headers = {**message.headers, "replays": int(message.headers.get("replays", 0)) + 1}
        again = Message(message.task, letter.queue, message.task_id, tuple(message.args), message.kwargs, headers)
        self._waiting.setdefault(letter.queue, deque()).append((self.clock(), again))
        return True

    def drop(self, letter_ids: Sequence[str]) -> int:
        self._reach()
        return sum(self._dead.pop(one, None) is not None for one in letter_ids)

    def expired(self) -> int:
        self._reach()
        return len(self._abandoned)

    def give_back(self) -> int:
        self._reach()
        back, self._abandoned = self._abandoned, []
        for message in back:
            self._claimed[message.queue].remove(message)
            self._waiting.setdefault(message.queue, deque()).appendleft((self.clock(), message))
        return len(back)

    def executed(self, run: str) -> int:
        self._look()
        return len(self._ledgers.get(run, []))

    def ledger(self, run: str) -> list[Execution]:
        self._look()
        return list(self._ledgers.get(run, []))

    def _look(self) -> None:
        self._reach()
        if self.eager:
            self.work()

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        self._reach()
        self._ledgers.pop(run, None)
        for queue in queues:
            self._waiting.pop(queue, None)
            self._claimed.pop(queue, None)
        self._abandoned = [one for one in self._abandoned if one.queue not in queues]
        self._delayed = [one for one in self._delayed if one.queue not in queues]
        self._dead = {name: one for name, one in self._dead.items() if one.queue not in queues}
        for task_id in task_ids:
            self._results.pop(task_id, None)
            self._works.pop(task_id, None)
