"""A bench from plan to report. It prints nothing: `emit` is told, and the report is returned."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from devctl.bench import environment as conditions
from devctl.bench import events, raw, warnings
from devctl.bench.counting.choice import Chosen, chosen
from devctl.bench.drain import STALL_SECONDS, Drain
from devctl.bench.environment import Environment
from devctl.bench.fleet import Fleet, as_many_as_run
from devctl.bench.meter import CpuMeter, Meter
from devctl.bench.observation import Observation
from devctl.bench.pace import Pace
from devctl.bench.plan import MOST_TASKS, Plan, first_guess, in_moments, size
from devctl.bench.report import Counted, Report, document, summarise
from devctl.bench.workload import Workload
from devctl.broker.port import Broker
from devctl.clock import Clock, SystemClock
from devctl.errors import DevctlError
from devctl.measurement.adapters import Adapters
from devctl.measurement.machine import Machine, machine
from devctl.measurement.serving import serving
from devctl.measurement.store import Store
from devctl.stack.port import Runtime
from devctl.undo.guard import Guard

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
    machine: Machine
    stack: str = ""

    @classmethod
    def of(cls, adapters: Adapters, guard: Guard) -> Ports:
        """Over a stack; looks at the machine as it is before anything is started."""
        settings, clock = adapters.settings, SystemClock()
        return cls(
            runtime=adapters.runtime,
            broker=lambda: adapters.broker,
            guard=guard,
            clock=clock,
            meter=CpuMeter(clock),
            store=Store.new(settings.state, clock.now()),
            machine=machine(settings.root),
            stack=settings.stack,
        )


def run(plan: Plan, workload: Workload, ports: Ports, emit: Callable[[events.Event], None]) -> Report:
    """Measure every point of the plan, or as many workers as run where it names none.

    The caller's guard puts back what was changed.
    """
    refuse_other_brokers(ports.runtime)
    service = service_to_scale(plan, ports.runtime, workload)
    if not plan.workers:
        plan = replace(plan, workers=(as_many_as_run(ports.runtime, service),))
    bench = _Bench(plan, workload, ports, emit, service)
    emit(events.Planned(bench.of, bench.pace.left() + bench.fleet.seconds_to_start(max(plan.workers))))
    nodes = bench.fleet.prepare(max(plan.workers), workload)
    if workload.real:
        bench.workers = conditions.told(bench.workers, ports.broker().stats().get(nodes[0], {}))
    environment = bench.conditions()
    cautions = list(warnings.of_environment(environment, ports.broker().queues(())))

    with chosen(ports.broker(), workload, nodes, ports.guard, ports.clock, f"{bench.name}-first") as how:
        bench.how = how
        emit(events.Counting(how.way, how.why))
        tasks = {workers: bench.warm_up(nodes[:workers]) for workers in plan.workers}
        observations = bench.rounds(nodes, tasks)
        emit(events.PuttingBack())

    report = summarise(
        bench.name,
        plan,
        environment,
        observations,
        counted=Counted(how.way, how.why),
        cautions=cautions,
        saved=str(ports.store.folder),
        again=workload.again,
    )
    ports.store.report(document(report))
    return report


class _Bench:
    how: Chosen
    """How its runs are counted; known when the workers answer."""

    def __init__(
        self, plan: Plan, workload: Workload, ports: Ports, emit: Callable[[events.Event], None], service: str
    ) -> None:
        self.plan, self.workload, self.ports, self.emit = plan, workload, ports, emit
        # Unique beyond this checkout: others may use the same Redis.
        self.name = f"{ports.store.name}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
        self.of = plan.repeats * len(plan.workers)
        self.workers = conditions.workers(ports.runtime.stack.services[service])
        self.pace = Pace(plan, self.workers.slots)
        self.fleet = Fleet(
            ports.runtime,
            ports.broker,
            ports.guard,
            ports.clock,
            emit,
            service,
            stack=ports.stack,
        )

    def conditions(self) -> Environment:
        """What the figures will hold for."""
        ports, (workers, broker) = self.ports, self.fleet.replicas()
        return Environment(
            ports.machine,
            ports.runtime.name,
            ports.broker().info(),
            replace(self.workers, cpu_quota=ports.meter.quota(workers)),
            ports.meter.quota(broker),
        )

    def warm_up(self, nodes: Sequence[str]) -> int:
        """Let these workers warm up, until they have worked long enough; returns how many tasks a run needs."""
        plan, workers, now = self.plan, len(nodes), self.ports.clock.now
        if plan.tasks is not None and not plan.warmup:
            return plan.tasks
        guess = (
            first_guess(plan.task, workers)
            if self.how.each is None
            else in_moments(self.how.each, self._slots(workers))
        )
        tasks, attempt, begun = min(guess, plan.tasks or MOST_TASKS), 0, now()
        while True:
            attempt += 1
            self.emit(events.WarmingUp(workers, tasks, self.pace.left(now() - begun)))
            seen, _ = self._drain().measure(f"{self.name}-w{workers}-warm{attempt}", nodes, tasks, 0, lambda *_: None)
            _must_have_worked(seen)
            rate = seen.window.rate or tasks / max(seen.seconds, 0.001)
            if seen.seconds >= _ENOUGH_OF_A_WARM_UP * plan.warmup or tasks == MOST_TASKS:
                break
            tasks = max(2 * tasks, min(10 * tasks, size(rate, plan.warmup, workers)))
            tasks = min(tasks, MOST_TASKS)
        chosen = plan.tasks or size(rate, plan.run_seconds, workers)
        self.pace.warmed_up(workers, chosen, rate)
        self.emit(events.Sized(workers, chosen))
        return chosen

    def rounds(self, nodes: Sequence[str], tasks: dict[int, int]) -> list[Observation]:
        """Measure all points in each round, and keep every run as soon as it is over."""
        observations: list[Observation] = []
        for round_, order in enumerate(self.plan.rounds(), start=1):
            for workers in order:
                observations.append(self._run(len(observations) + 1, round_, nodes[:workers], tasks[workers]))
        return observations

    def _run(self, number: int, round_: int, nodes: Sequence[str], tasks: int) -> Observation:
        workers, of, now = len(nodes), self.of, self.ports.clock.now
        begun = now()

        def tell(done: int, rate: float) -> None:
            self.emit(events.Draining(number, of, workers, done, tasks, rate, self.pace.left(now() - begun)))

        self.emit(events.Publishing(number, of, workers, tasks, self.pace.left()))
        seen, executions = self._drain().measure(f"{self.name}-w{workers}-r{round_}", nodes, tasks, round_, tell)
        raw.keep(self.ports.store, seen, executions)
        self.pace.ran(workers, now() - begun)
        rate = None if seen.window.too_short else seen.window.rate
        self.emit(events.RunDone(number, of, workers, round_, tasks, rate, seen.audit.clean, self.pace.left()))
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
            self.how.counting,
            self.plan.timeout_seconds,
            patience=STALL_SECONDS + 3 * (self.how.each or self.plan.task.milliseconds / 1_000),
        )

    def _slots(self, workers: int) -> int:
        return workers * self.workers.slots


def refuse_other_brokers(runtime: Runtime) -> None:
    """A broker that is no service of this stack may be everybody's: thousands of tasks are not for it."""
    if not runtime.stack.broker:
        raise DevctlError(
            "no service of the Compose file is known as the broker, and a bench fills no other",
            hint="devctl doctor shows what was found; x-devctl: {broker: NAME} in the Compose file says which it is",
        )


def service_to_scale(plan: Plan, runtime: Runtime, workload: Workload) -> str:
    """The service the plan names, else the Compose file's first worker; a task of theirs may be any worker's."""
    first = "" if workload.real else next(iter(runtime.stack.workers), "")
    return serving(runtime.stack, plan.service or first, workload.service)


def _must_have_worked(seen: Observation) -> None:
    if not seen.audit.executed:
        raise DevctlError(
            f"none of {seen.tasks} warm-up tasks was done: they fail or are lost",
            hint="devctl logs --level warning shows why",
        )
