"""One run: publish a backlog to a queue that nobody consumes yet, let the workers begin, and watch until it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from devctl.bench.counting.port import Counting
from devctl.bench.fleet import Fleet
from devctl.bench.meter import Meter, load
from devctl.bench.observation import Observation, observe
from devctl.bench.workload import Workload
from devctl.broker import runs
from devctl.broker.port import Broker, Execution
from devctl.clock import Clock
from devctl.errors import WaitTimeout
from devctl.stack.port import Replica
from devctl.undo.guard import Guard
from devctl.undo.steps import Forget, Leave, wait_until_unclaimed

CHUNK = 10_000
"""Messages that are made and published at a time: a backlog of 200,000 need not be in memory."""
POLL_SECONDS = 0.1  # one LLEN each
TELL_SECONDS = 0.25
DEAF = 5
"""Times the patience: so long after the last completion, an end that should come was not heard."""
STALL_SECONDS = 2.0
"""Without a completion for so long, and longer than a few of the tasks take, one looks what is wrong."""


@dataclass
class Drain:
    """What every run needs."""

    broker: Broker
    fleet: Fleet
    guard: Guard
    meter: Meter
    clock: Clock
    workload: Workload
    counting: Counting
    timeout: float
    patience: float
    """How long nothing may complete before one looks why."""

    def measure(
        self, run: str, nodes: Sequence[str], tasks: int, round_: int, tell: Callable[[int, float], None]
    ) -> tuple[Observation, Sequence[Execution]]:
        """Drain one backlog; `tell(done, rate)` now and then. What the run put into the broker is gone afterwards.

        The executions are for whoever keeps them; all that is said of them is in the observation.
        """
        queue, ids = runs.queue(run), runs.task_ids(run, tasks)
        forget = self.guard.add(Forget(run, self.workload.queues(run), self.workload.traces(tasks)))
        begun = self.clock.now()
        messages = self.workload.messages(run, ids)
        while chunk := list(islice(messages, CHUNK)):
            self.broker.publish(chunk)
        publish_seconds = self.clock.now() - begun

        workers, broker = self.fleet.replicas()
        leave = self.guard.add(Leave(queue))
        before = self.meter.read(workers, broker)
        self.counting.begin(run, ids)
        self.broker.consume(queue, nodes)
        self._watch(run, tasks, workers, tell)
        used = load(before, self.meter.read(workers, broker))

        self.guard.undo(leave)
        # What is claimed now may still run, a second time even: only then is the count final.
        wait_until_unclaimed(self.broker, queue, self.clock)
        count = self.counting.count()
        self.guard.undo(forget)
        return observe(run, round_, nodes, ids, publish_seconds, count, used), count.executions

    def _watch(self, run: str, tasks: int, workers: list[Replica], tell: Callable[[int, float], None]) -> None:
        """Return when every task has run, or when none is left to run."""
        begun = told = moved = looked = self.clock.now()
        done = 0
        while True:
            self.clock.sleep(POLL_SECONDS)
            now = self.clock.now()
            count = self.counting.done()
            if count > done:
                done, moved = count, now
            if now - told >= TELL_SECONDS:
                told = now
                tell(done, done / (now - begun))
            if done >= tasks and self.counting.all_done():
                return
            if now - moved >= self.patience and now - looked >= STALL_SECONDS:
                looked = now
                self.fleet.check(workers)
                if self._nothing_left(run) and (now - moved >= DEAF * self.patience or not self.counting.running()):
                    return
            if now - begun >= self.timeout:
                raise WaitTimeout(
                    f"{done:,} of {tasks:,} tasks were done after {self.timeout:g}s",
                    hint=f"fewer --tasks, a longer --timeout, or see: devctl logs {self.fleet.service}",
                )

    def _nothing_left(self, run: str) -> bool:
        queue = runs.queue(run)
        return not any(one.waiting or one.claimed for one in self.broker.queues([queue]) if one.name == queue)
