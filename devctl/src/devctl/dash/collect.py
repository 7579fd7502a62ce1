"""Keeps a snapshot of a stack up to date, cheaply enough to do it once a second all day.

Each source has a pace of its own. What cannot be read stays as it was, and `problems` says so; when it can be read
again, it is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from devctl.broker.nodes import service_of
from devctl.broker.port import Broker, QueueDepth, Running, Worker
from devctl.dash.model import BrokerRow, Failure, QueueRow, RunningTask, ServiceRow, Snapshot, WorkerRow
from devctl.dash.pace import Pace
from devctl.dash.sources import Sources
from devctl.dash.steps import RATE_SECONDS, Steps
from devctl.errors import DevctlError, UsageError
from devctl.stack.overview import ServiceState, overview
from devctl.stack.port import Replica

_LOGIN = re.compile(r"//[^/@]*@")
_OF_BENCH = "bench"  # workers that can be measured consume it, and `devctl bench` alone sends to it
HISTORY_SECONDS = 120.0
MOST_FAILURES = 50
MOST_LETTERS = MOST_FAILURES
"""Of a queue, the newest: as many as can be shown, so that none of these lacks its letter."""
ASK_SECONDS = 0.5
"""How long a worker may take to answer."""
MOST_PAGES = 5
"""Of records in a look, a thousand entries each."""
SAME_SECONDS = 1.0
"""Between a dead letter and its record, which one script writes."""


class Collector:
    """Looks at one stack. One thread at a time calls `look`."""

    def __init__(self, sources: Sources) -> None:
        """Reads nothing yet."""
        self._sources = sources
        self._services = _Services(sources)
        self._broker = _Broker(sources)

    def first(self) -> Snapshot:
        """What runs: known some time before the broker has answered."""
        self._services.look(self._sources.clock(), roles=False)
        return self._snapshot(self._sources.clock())

    def look(self) -> Snapshot:
        """What is now. Raises nothing: what cannot be read is in `problems`, and the rest is shown."""
        now = self._sources.clock()
        self._services.look(now)
        self._broker.look(now, self._services.replicas)
        return self._snapshot(now)

    def soon(self) -> None:
        """Something was done: the next look is at everything."""
        self._services.pace.soon()
        self._broker.soon()

    def _snapshot(self, now: float) -> Snapshot:
        return Snapshot(
            at=now,
            stack=self._sources.name or self._sources.stack.name,
            runtime=self._sources.runtime.name,
            broker=self._broker.row,
            services=self._services.rows,
            queues=self._broker.queues,
            workers=self._broker.workers,
            failures=self._broker.failures,
            problems=tuple(one for one in (self._services.problem, *self._broker.problems) if one),
        )


class _Services:
    """What runs, by the runtime."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.pace = Pace(1.0, part=0.1)
        self.replicas: Sequence[Replica] = ()
        self.rows: tuple[ServiceRow, ...] = ()
        self.problem = ""

    def look(self, now: float, *, roles: bool = True) -> None:
        if not self.pace.due(now):
            return
        try:
            with self.pace.look(now):
                self.replicas = self._sources.runtime.status()
                self.problem = ""
        except DevctlError as problem:
            self.problem = problem.problem
            return
        stack = self._sources.stack
        there = {
            one.name: one
            for one in overview(self.replicas, {}, now, lambda name: name in stack.services and stack.may_end(name))
        }
        names = [*(name for name in stack.services if name in there or name in stack.enabled), *there]
        known = self._sources.roles() if roles else {}
        self.rows = tuple(self._row(name, there.get(name), known.get(name, "")) for name in dict.fromkeys(names))
        if not roles:
            self.pace.soon()

    def _row(self, name: str, one: ServiceState | None, role: str) -> ServiceRow:
        if one is None:
            return ServiceRow(name, "stopped", "", 0, role, scalable=self._scalable(name))
        health = "" if one.health == "none" else one.health
        state = "done" if one.done else one.state
        return ServiceRow(name, state, health, one.replicas, role, one.ports, self._scalable(name))

    def _scalable(self, name: str) -> bool:
        stack = self._sources.stack
        if name not in stack.services or name == stack.broker:
            return False
        try:
            stack.check_scale(name, 2)
        except UsageError:
            return False
        return True


class _Broker:
    """What the broker and the workers behind it say."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._port: Broker | None = None
        self._depths, self._search = Pace(1.0), Pace(30.0)
        self._info, self._ask, self._letters = Pace(5.0), Pace(5.0), Pace(5.0)
        self._wanted: list[str] = []
        self._names: list[str] = []
        self._history: dict[str, deque[tuple[float, int, float]]] = {}
        self._totals: dict[str, deque[tuple[float, int]]] = {}
        self._known: list[Worker] = []
        self._dead: tuple[dict[str, int], int] = {}, 0
        self.row = BrokerRow("", reachable=False)
        self.queues: tuple[QueueRow, ...] = ()
        self.workers: tuple[WorkerRow, ...] = ()
        self._steps, self._after, self._behind = Steps(), "", False
        self._buried_now: list[Failure] = []
        self.failures: tuple[Failure, ...] = ()
        self.problems: tuple[str, ...] = ()

    def soon(self) -> None:
        for pace in (self._depths, self._search, self._ask, self._letters):
            pace.soon()

    def look(self, now: float, replicas: Sequence[Replica]) -> None:
        try:
            broker = self._port = self._port or self._connected()
            self._look(broker, now, replicas)
        except DevctlError as problem:
            self._port = None  # it may come back at another address
            self.row = replace(self.row, reachable=False, problem=problem.problem)
            self.problems = ()
            self.soon()

    def _connected(self) -> Broker:
        broker = self._sources.connect()
        if not self._wanted:
            self._wanted = self._names = [*self._sources.queues()]
        return broker

    def _look(self, broker: Broker, now: float, replicas: Sequence[Replica]) -> None:
        if self._ask.due(now):
            self.problems = ()
            try:
                with self._ask.look(now):
                    self._known = broker.at_work(timeout=ASK_SECONDS)
                for one in self._known:
                    self._steps.settle(one.node, [run.task_id for run in one.running], now)
            except DevctlError as problem:
                self.problems = (f"workers could not be asked: {problem.problem}",)
            self._names = [*dict.fromkeys([*self._names, *(name for one in self._known for name in one.queues)])]
        if broker.celeriac:
            self._follow(broker)
        if self._depths.due(now):
            with self._depths.look(now):
                self._measure(broker, now)
        if self._info.due(now) or not self.row.reachable:
            with self._info.look(now):
                info = broker.info()
            self.row = BrokerRow(_LOGIN.sub("//", broker.url), True, "", info.used_memory_bytes, info.maxmemory_bytes)
        if broker.celeriac and (self._letters.due(now) or self._buried() != self._dead):
            with self._letters.look(now):
                self._read_letters(broker)
        self.failures = tuple(self._failed())
        services = self._sources.stack.services
        self.workers = tuple(
            WorkerRow(one.node, service_of(one.node, replicas, services), one.queues, one.threads, self._runs(one, now))
            for one in self._known
        )

    def _follow(self, broker: Broker) -> None:
        """Take in the records of steps that are new: at first, those of the last seconds."""
        self._after = self._after or _before(broker.life.newest())
        for _ in range(MOST_PAGES):
            after, records = broker.life.follow(self._after)
            self._behind = after != self._after
            if not self._behind:
                return
            self._after = after
            if over := self._steps.take(records):
                self._known = [
                    replace(one, running=kept) if len(kept := _without(one, over)) < len(one.running) else one
                    for one in self._known
                ]
        # More comes in than can be read: go on with the newest; never back, where the same would be counted twice.
        self._after = max(self._after, _before(broker.life.newest()), key=_order)

    def _runs(self, one: Worker, now: float) -> tuple[RunningTask, ...]:
        said = {run.task_id: RunningTask(run.task, run.task_id, max(0.0, now - run.since)) for run in one.running}
        runs = said | self._steps.running(one.node, now)
        return tuple(sorted(runs.values(), key=lambda run: run.seconds, reverse=True))

    def _measure(self, broker: Broker, now: float) -> None:
        busy = self._steps.busy(now)
        names = list(dict.fromkeys([*self._names, *busy]))
        if self._search.due(now):
            with self._search.look(now):
                depths = broker.queues(names)
        else:
            depths = broker.queues(names, search=False)
        paused = broker.paused()
        usual = {*self._wanted, *busy, *(name for one in self._known for name in one.queues)} - {_OF_BENCH}
        shown = [one for one in depths if one.name in usual or _holds(one)]
        self._names = [one.name for one in shown]
        self.queues = tuple(self._queue(one, one.name in paused, now) for one in shown)
        self._history = {one.name: self._history[one.name] for one in shown}

    def _queue(self, depth: QueueDepth, paused: bool, now: float) -> QueueRow:
        history = self._history.setdefault(depth.name, deque())
        history.append((now, depth.waiting + (depth.claimed or 0), depth.oldest_seconds or 0.0))
        while history[0][0] < now - HISTORY_SECONDS:
            history.popleft()
        known = self._after not in ("", "0") and not self._behind
        rate_in, rate_out = self._steps.rates(depth.name, now) if known else (None, None)
        growth = self._growth(depth, now)
        if rate_out is not None and not rate_in:  # a publisher that writes no records
            rate_in = max(0.0, rate_out + growth)
        told = sum(depth.name in one.queues for one in self._known)
        return QueueRow(
            depth.name,
            depth.waiting,
            depth.claimed,
            depth.delayed,
            depth.dead,
            depth.oldest_seconds,
            rate_in,
            rate_out,
            paused=paused,
            stopped=depth.stopped,
            consumers=max(told, depth.consumers or 0),
            history=tuple(history),
        )

    def _growth(self, depth: QueueDepth, now: float) -> float:
        """Messages a second by which it grows, as long as rates look back."""
        totals = self._totals.setdefault(depth.name, deque())
        totals.append((now, depth.waiting + (depth.claimed or 0) + depth.delayed))
        while totals[0][0] < now - RATE_SECONDS:
            totals.popleft()
        return (totals[-1][1] - totals[0][1]) / RATE_SECONDS

    def _buried(self) -> tuple[dict[str, int], int]:
        """What changes with a dead letter: depths, and the records, which are read more often while Redis is slow."""
        return {one.name: one.dead for one in self.queues if one.dead}, self._steps.dead

    def _read_letters(self, broker: Broker) -> None:
        found = []
        self._dead = self._buried()
        seen = (one.queue for one in self._steps.failures if one.kind == "dead" and one.queue)
        for queue in dict.fromkeys([*self._dead[0], *seen]):
            for one in islice(broker.letters(queue=queue, newest_first=True), MOST_LETTERS):
                failure = Failure(
                    one.time, "dead", one.task or "", one.task_id or "", queue, one.error or "", one.reason, one.id
                )
                found.append(failure)
        self._buried_now = found

    def _failed(self) -> list[Failure]:
        """What was seen to fail, and the dead letters that are there; a letter and its record are one."""
        seen = dict(enumerate(self._steps.failures))
        dead: dict[str, list[int]] = {}
        for number, one in seen.items():
            if one.kind == "dead":
                dead.setdefault(one.task_id, []).append(number)
        for letter in self._buried_now:  # by its task: a record without its claim does not tell the queue
            same = [one for one in dead.get(letter.task_id, ()) if abs(seen[one].at - letter.at) < SAME_SECONDS]
            if same:
                nearest = min(same, key=lambda one: abs(seen[one].at - letter.at))
                dead[letter.task_id].remove(nearest)
                del seen[nearest]
        found = [*seen.values(), *self._buried_now]
        return sorted(found, key=lambda one: one.at, reverse=True)[:MOST_FAILURES]


def _holds(one: QueueDepth) -> int:
    return one.waiting + (one.claimed or 0) + one.delayed + one.dead


def _without(worker: Worker, over: set[str]) -> tuple[Running, ...]:
    return tuple(run for run in worker.running if run.task_id not in over)


def _order(entry: str) -> tuple[int, int]:
    """By the time of an entry's id."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


def _before(entry: str) -> str:
    """The id of an entry that was written some seconds before this one."""
    milliseconds, _, _ = entry.partition("-")
    return f"{max(0, int(milliseconds) - round(RATE_SECONDS * 1_000))}-0" if "-" in entry else "0"
