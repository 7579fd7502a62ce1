"""Which way a bench counts, and why: asked of the workers themselves, with one task each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from devctl.bench.counting.events import Events
from devctl.bench.counting.ledger import Ledger
from devctl.bench.counting.port import Counting, Way
from devctl.bench.counting.results import Results
from devctl.bench.workload import Workload
from devctl.broker import runs
from devctl.broker.port import Broker, TaskEvents
from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.undo.guard import Guard
from devctl.undo.steps import Forget, Leave, Quiet

PROBE_SECONDS = 60.0
"""The longest that the first task of all may take."""
SILENCE_SECONDS = 3.0
"""Events come in milliseconds; one whose task is not even received after this is not sent."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Chosen:
    """How the runs are counted."""

    counting: Counting
    why: str
    each: float | None = None
    """Seconds that one task took; None where nobody measured it."""

    @property
    def way(self) -> Way:
        """Which one it is."""
        return self.counting.way


@contextmanager
def chosen(
    broker: Broker, workload: Workload, nodes: Sequence[str], guard: Guard, clock: Clock, run: str
) -> Iterator[Chosen]:
    """The best way that these workers know. Their events are on for the block, and off again after it."""
    registered = {one.node: one.tasks for one in broker.consumers(expected=len(nodes))}
    if all(runs.TASK in registered.get(node, ()) for node in nodes):
        yield Chosen(Ledger(broker), "the workers have celeriac's workbench mounted")
        return
    with broker.events() as events:
        quiet = guard.add(Quiet(tuple(nodes)))
        told = broker.send_events(nodes)
        if len(told) < len(nodes):  # what sends them already goes on
            wider, quiet = quiet, guard.add(Quiet(tuple(told)))
            guard.drop(wider)
        yield _Probe(broker, workload, guard, clock, run).of(events, nodes)
        guard.undo(quiet)


@dataclass
class _Probe:
    """One task for each worker: are its events heard, does it leave a result, how long does it take?"""

    broker: Broker
    workload: Workload
    guard: Guard
    clock: Clock
    run: str

    def of(self, told: TaskEvents, nodes: Sequence[str]) -> Chosen:
        queue, ids = runs.queue(self.run), runs.task_ids(self.run, len(nodes))
        by_events, by_results = Events(self.broker, told), Results(self.broker, self.clock.now)
        forget = self.guard.add(Forget(self.run, self.workload.queues(self.run), self.workload.traces(len(ids))))
        by_events.begin(self.run, ids)
        by_results.begin(self.run, ids)
        self.broker.publish(list(self.workload.messages(self.run, ids)))
        leave = self.guard.add(Leave(queue))
        begun = self.clock.now()
        self.broker.consume(queue, nodes)
        silent = None
        while not (by_events.all_done() or (silent := self._silent(by_events, by_results, begun, silent))):
            if self.clock.now() - begun > PROBE_SECONDS:
                raise DevctlError(
                    f"the first {self.workload.label} was not done after {PROBE_SECONDS:.0f} s",
                    hint="give it arguments with which it is short: --args; devctl logs shows what it does",
                )
            self.clock.sleep(LOOK_SECONDS)
        self.guard.undo(leave)
        count = by_events.count()
        self.guard.undo(forget)
        if by_events.done():
            if len(count.failed) == len(ids):
                raise DevctlError(
                    f"{self.workload.label} fails with these arguments: nothing to measure",
                    hint="give it others: --args, --kwargs; devctl logs shows its error",
                )
            took = max(one.finished - one.started for one in count.executions)
            return Chosen(by_events, "the workers send them when they are told to", took)
        return Chosen(by_results, "no task events come, but the tasks leave results")

    def _silent(self, events: Events, results: Results, begun: float, was: bool | None) -> bool | None:
        """Whether the tasks are done, or gone, and no event told of it."""
        if self.clock.now() - begun < SILENCE_SECONDS:
            return was
        if results.all_done():
            return True
        if events.heard():
            return was
        depth = next(one for one in self.broker.queues([runs.queue(self.run)]) if one.name == runs.queue(self.run))
        if depth.waiting or depth.claimed:
            return was
        if self.clock.now() - begun < 4 * SILENCE_SECONDS:  # acknowledged early, it may still run
            return was
        raise DevctlError(
            f"{self.workload.label} cannot be counted: its workers send no task events, and it leaves no result",
            hint="events need a heartbeat or gossip: start the workers without --without-heartbeat and "
            "--without-gossip, or with -E; results need a result backend",
        )
