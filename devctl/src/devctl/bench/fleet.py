"""The workers of a bench: brought up to the number that is needed, and put back as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devctl.bench import events
from devctl.bench.workload import Workload
from devctl.broker import runs
from devctl.broker.nodes import service_of
from devctl.broker.port import Broker, Consumer
from devctl.clock import Clock
from devctl.errors import DevctlError, ServiceCrashed, WaitTimeout
from devctl.measurement import mount
from devctl.stack.port import Replica, Runtime
from devctl.stack.report import failure
from devctl.stack.start import start
from devctl.undo.guard import Guard
from devctl.undo.steps import Scale, Stop

START_SECONDS = 3.0
"""About so long takes a start, of a stack or of more workers, and the end of what was started."""
ANSWER_SECONDS = 30.0  # from "healthy" to the answer to a question; a solo worker may be in a long task


def as_many_as_run(runtime: Runtime, service: str) -> int:
    """How many replicas run; where none does, how many the Compose file asks for."""
    running = sum(one.service == service and one.state == "running" for one in runtime.status())
    return running or max(1, runtime.stack.services[service].replicas)


@dataclass
class Fleet:
    """The replicas of one worker service."""

    runtime: Runtime
    broker: Callable[[], Broker]
    guard: Guard
    clock: Clock
    emit: Callable[[events.Event], None]
    service: str
    start_timeout: float = 60.0
    stack: str = ""
    """The name of an isolated stack, for hints."""

    def seconds_to_start(self, most: int) -> float:
        """About how long it takes to have so many workers; 0 where they run."""
        running = sum(one.service == self.service and one.state == "running" for one in self.runtime.status())
        return START_SECONDS if running < most else 0.0

    def prepare(self, most: int, workload: Workload) -> list[str]:
        """Have at least `most` workers, all answering; returns their node names, `most` of them."""
        begun = self.clock.now()
        stack = self.runtime.stack
        before = self.runtime.status()
        running = {replica.service for replica in before if replica.state == "running"}
        found = sum(replica.service == self.service and replica.state == "running" for replica in before)
        if found:  # before anything is changed
            self._answering(min(found, most), workload)
        needed = stack.closure([stack.broker, self.service])
        missing = tuple(name for name in needed if name not in running)
        if not before:
            self.guard.add(Stop())
        elif missing:
            self.guard.add(Stop(missing[::-1]))
        if found and found < most:
            self.guard.add(Scale(self.service, found))
        if missing or found < most:
            self.emit(events.Preparing(self.service, most, found, missing))
            report = start(
                self.runtime,
                needed,
                timeout=self.start_timeout,
                scale={self.service: max(found, most)},
                emit=self.emit,
                clock=self.clock,
            )
            if problem := failure(report, self.stack):
                raise problem
        nodes = self._answering(most, workload)
        self.emit(events.Prepared(self.clock.now() - begun))
        return nodes

    def _answering(self, most: int, workload: Workload) -> list[str]:
        end = self.clock.now() + ANSWER_SECONDS
        while True:
            consumers = self.broker().consumers()
            mine = self._mine(consumers)
            needed = {workload.task} if workload.real else {workload.task, runs.TASK}
            able = [one.node for one in mine if needed <= {*one.tasks}]
            if len(able) >= most:
                return sorted(able)[:most]
            if len(mine) >= most:
                raise self._unable(workload, consumers)
            if self.clock.now() >= end:
                raise WaitTimeout(
                    f"{len(able)} of {most} workers answer after {ANSWER_SECONDS:.0f}s",
                    hint=f"devctl logs {self.service} shows why",
                )
            self.clock.sleep(0.2)

    def _unable(self, workload: Workload, consumers: list[Consumer]) -> DevctlError:
        mine = self._mine(consumers)
        if not workload.real and not all(runs.TASK in one.tasks for one in mine):
            return self._unmeasured(mine)
        replicas, services = self.runtime.status(), self.runtime.stack.services
        able = [one.node for one in consumers if workload.task in one.tasks]
        owners = sorted({owner for node in able if (owner := service_of(node, replicas, services))})
        return DevctlError(
            f"{self.service} does not run {workload.task}",
            hint=f"it is run by {owners[0]}: --service {owners[0]}" if owners else "devctl tasks shows who owns what",
        )

    def _unmeasured(self, mine: list[Consumer]) -> DevctlError:
        if self.runtime.stack.contracts:
            return mount.missing(self.runtime.stack.services[self.service], self.stack)
        theirs = sorted({task for one in mine for task in one.tasks if not task.startswith("celery.")})
        shown = ", ".join(theirs[:5]) + (", …" if len(theirs) > 5 else "")
        return DevctlError(
            f"{self.service} has no task of the bench: noop, cpu and wait belong to celeriac's workbench",
            hint="measure a task of its own: devctl bench --task NAME --args '[…]'"
            + (f"\nit has {shown}" if shown else ""),
        )

    def _mine(self, consumers: Sequence[Consumer]) -> list[Consumer]:
        """Those that are replicas of the service."""
        replicas, services = self.runtime.status(), self.runtime.stack.services
        return [one for one in consumers if service_of(one.node, replicas, services) == self.service]

    def replicas(self) -> tuple[list[Replica], list[Replica]]:
        """The workers and the broker, as the runtime sees them now."""
        all_ = self.runtime.status()
        broker = self.runtime.stack.broker
        return [one for one in all_ if one.service == self.service], [one for one in all_ if one.service == broker]

    def check(self, before: list[Replica]) -> None:
        """ServiceCrashed where a worker is not the one it was."""
        now = {replica.name: replica for replica in self.replicas()[0]}
        for known in before:
            seen = now.get(known.name)
            if seen and (seen.state, seen.restarts, seen.started_at) == ("running", known.restarts, known.started_at):
                continue
            code = seen.exit_code if seen else None
            raise ServiceCrashed(
                f"{known.name} ended during a run" + (f", exit code {code}" if code is not None else ""),
                hint=f"devctl logs {self.service} shows why; the runs before are saved",
            )
