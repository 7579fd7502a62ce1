"""A bench from plan to report. It prints nothing: `emit` is told, and the report is returned."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from devctl.measurement import machine as conditions
from devctl.bench import events, warnings
from devctl.bench.drain import STALL_SECONDS, Drain
from devctl.measurement.machine import Environment, Machine
from devctl.bench.fleet import Fleet, as_many_as_run
from devctl.bench.meter import Meter
from devctl.bench.observation import Observation, audit, steady
from devctl.bench.plan import MOST_TASKS, Plan, first_guess, size
from devctl.bench.report import Report, document, summarise
from devctl.measurement.store import Store
from devctl.bench.workload import Workload
from devctl.broker.port import Broker
from devctl.broker.runs import task_ids
from devctl.errors import DevctlError, UsageError
from devctl.stack.clock import Clock
from devctl.stack.guard import Guard
from devctl.stack.port import Runtime

_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
_ENOUGH_OF_A_WARM_UP = 0.5  # one that took half the time asked for says how fast the workers are


@dataclass(frozen=True)
class Ports:
    """Everything a bench touches."""

    runtime: Runtime
    broker: Callable[[], Broker]
    """Called when the broker runs."""
    guard: Guard
    clock: Clock
    meter: Meter
    store: Store
    stack: str = ""


def run(plan: Plan, workload: Workload, machine: Machine, ports: Ports, emit: Callable[[events.Event], None]) -> Report:
    """Measure every point of the plan, or as many workers as run where it names none.

    The caller's guard puts back what was changed.
    """
    service = service_to_scale(plan, ports.runtime)
    if not plan.workers:
        plan = replace(plan, workers=(as_many_as_run(ports.runtime, service),))
    emit(events.Planned(plan.repeats * len(plan.workers), plan.expected_seconds()))
    bench = _Bench(plan, workload, ports, emit, service)
    nodes = bench.fleet.prepare(max(plan.workers), workload)
    environment = bench.conditions(machine)
    cautions = list(warnings.of_environment(environment, ports.broker().queues(())))

    tasks = {workers: bench.warm_up(nodes[:workers]) for workers in plan.workers}
    observations = bench.rounds(nodes, tasks)
    emit(events.PuttingBack())

    report = summarise(bench.name, plan, environment, observations, cautions=cautions, saved=str(ports.store.folder))
    ports.store.report(document(report))
    return report


class _Bench:
    def __init__(
        self, plan: Plan, workload: Workload, ports: Ports, emit: Callable[[events.Event], None], service: str
    ) -> None:
        self.plan, self.workload, self.ports, self.emit = plan, workload, ports, emit
        # Unique beyond this checkout: others may use the same Redis.
        self.name = f"{ports.store.name}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
        self.fleet = Fleet(
            ports.runtime,
            ports.broker,
            ports.guard,
            ports.clock,
            emit,
            service,
            stack=ports.stack,
        )

    def conditions(self, machine: Machine) -> Environment:
        """What the figures will hold for."""
        runtime = self.ports.runtime
        workers = conditions.workers(runtime.stack.services[self.fleet.service])
        return Environment(machine, runtime.name, self.ports.broker().info(), workers)

    def warm_up(self, nodes: Sequence[str]) -> int:
        """Let these workers warm up, until they have worked long enough; returns how many tasks a run needs."""
        plan, workers = self.plan, len(nodes)
        if plan.tasks is not None and not plan.warmup_seconds:
            return plan.tasks
        wanted = plan.warmup_seconds or self.plan.run_seconds / 5
        tasks, attempt = min(first_guess(plan.task, workers), plan.tasks or MOST_TASKS), 0
        while True:
            attempt += 1
            self.emit(events.WarmingUp(workers, tasks))
            seen = self._drain().measure(f"{self.name}-w{workers}-warm{attempt}", nodes, tasks, 0, lambda *_: None)
            _must_have_worked(seen)
            busy = max(one.finished for one in seen.executions) - min(one.started for one in seen.executions)
            rate = steady(seen.executions).rate or tasks / max(busy, 0.001)
            if busy >= _ENOUGH_OF_A_WARM_UP * wanted or tasks == MOST_TASKS:
                break
            tasks = max(2 * tasks, min(10 * tasks, size(rate, wanted, workers)))
            tasks = min(tasks, MOST_TASKS)
        chosen = plan.tasks or size(rate, plan.run_seconds, workers)
        self.emit(events.Sized(workers, chosen))
        return chosen

    def rounds(self, nodes: Sequence[str], tasks: dict[int, int]) -> list[Observation]:
        """Measure all points in each round, and keep every run as soon as it is over."""
        plan = self.plan
        observations: list[Observation] = []
        of = plan.repeats * len(plan.workers)
        for round_, order in enumerate(plan.rounds(), start=1):
            for workers in order:
                observations.append(self._run(len(observations) + 1, of, round_, nodes[:workers], tasks[workers]))
        return observations

    def _run(self, number: int, of: int, round_: int, nodes: Sequence[str], tasks: int) -> Observation:
        workers = len(nodes)
        self.emit(events.Publishing(number, of, workers, tasks))
        seen = self._drain().measure(
            f"{self.name}-w{workers}-r{round_}",
            nodes,
            tasks,
            round_,
            lambda done, rate: self.emit(events.Draining(number, of, workers, done, tasks, rate)),
        )
        self.ports.store.keep(seen)
        checked = audit(task_ids(seen.run, seen.published), seen.executions)
        self.emit(events.RunDone(number, of, workers, round_, tasks, steady(seen.executions).rate, clean=checked.clean))
        return seen

    def _drain(self) -> Drain:
        ports = self.ports
        return Drain(
            ports.broker(),
            self.fleet,
            ports.guard,
            ports.meter,
            ports.clock,
            self.workload,
            self.plan.timeout_seconds,
            patience=STALL_SECONDS + 3 * self.plan.task.milliseconds / 1_000,
        )


def service_to_scale(plan: Plan, runtime: Runtime) -> str:
    """The service the plan names, else the Compose file's first worker."""
    stack = runtime.stack
    if plan.service:
        return stack.resolve([plan.service])[0]
    if not stack.workers:
        raise UsageError(
            "the Compose file does not say which service is the worker",
            hint="name it there, x-devctl: {workers: [NAME]}, or here: --service NAME",
        )
    return stack.workers[0]


def _must_have_worked(seen: Observation) -> None:
    checked = audit(task_ids(seen.run, seen.published), seen.executions)
    if not checked.executed:
        raise DevctlError(
            f"none of {checked.published} warm-up tasks was done: they fail, or are lost",
            hint="devctl logs --level warning shows why",
        )
