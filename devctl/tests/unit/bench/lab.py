"""A stack, its broker and a guard, all simulated, and a bench on them."""

from __future__ import annotations

from pathlib import Path

from devctl.tests.unit.bench.simulation import SimulatedBroker, SimulatedMeter, shop

from devctl.bench import events
from devctl.bench.plan import Plan, parse_task
from devctl.bench.report import Report
from devctl.bench.run import Ports, run
from devctl.bench.workload import own
from devctl.clock import FakeClock
from devctl.measurement.machine import Machine
from devctl.measurement.store import Store
from devctl.stack.fake import FakeRuntime
from devctl.undo.guard import Guard
from devctl.undo.steps import Undo

MACHINE = Machine("a CPU", 2, 8 * 10**9, "an OS", "3.11.7", 0.1, "abc", False, {"celery": "5"})


class Lab:
    """A stack, its broker and a guard, all simulated."""

    def __init__(self, folder: Path, *, running: int = 0, **broker: object) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(shop(), clock=self.clock)
        if running:
            self.runtime.start("redis")
            self.runtime.start("worker", replicas=running)
            self.clock.sleep(1)
            self.runtime.calls.clear()
        self.broker = SimulatedBroker(self.runtime, self.clock, **broker)  # type: ignore[arg-type]
        self.guard = Guard(Undo(lambda: self.runtime, lambda: self.broker, self.clock))
        self.store = Store.new(folder, self.clock.now())
        self.meter = SimulatedMeter(self.clock)
        self.machine = MACHINE
        self.events: list[events.Event] = []

    def bench(self, workers: tuple[int, ...] = (1,), *, task: str = "noop", **fields: object) -> Report:
        plan = Plan(parse_task(task), workers, **{"repeats": 3, **fields})  # type: ignore[arg-type]
        ports = Ports(self.runtime, lambda: self.broker, self.guard, self.clock, self.meter, self.store, self.machine)
        try:
            return run(plan, own(plan.task), ports, self.events.append)
        finally:
            self.guard.undo_all()

    def of(self, kind: type) -> list[events.Event]:
        return [event for event in self.events if isinstance(event, kind)]
