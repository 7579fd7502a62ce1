"""A bench over a workbench; used by the commands that measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.bench.events import Event
    from devctl.measurement.lock import Lock
    from devctl.bench.plan import Plan, Task
    from devctl.bench.report import Report
    from devctl.bench.workload import Workload
    from devctl.stack.guard import Guard


@contextmanager
def guarded(workbench: Workbench, lock: Lock | None = None) -> Iterator[Guard]:
    """A guard over this workbench's runtime and broker: what the block adds to it is undone, however devctl ends.

    One at a time on a stack: two would scale the same workers. A caller that has the stack's lock brings it.
    """
    from devctl.measurement.lock import alone, file_of
    from devctl.stack.clock import SystemClock
    from devctl.stack.guard import guarding
    from devctl.stack.undo import Undo

    undo = Undo(lambda: workbench.runtime, lambda: workbench.broker, SystemClock())
    settings = workbench.settings
    with (
        nullcontext(lock) if lock else alone(file_of(settings)) as held,
        guarding(settings, workbench.runtime_choice[0], undo, held.descriptors) as guard,
    ):
        yield guard


def workload(workbench: Workbench, task: Task) -> Workload:
    """What the messages are; UsageError where the task is not known."""
    from devctl.bench import contract
    from devctl.bench.workload import own

    return contract.of(workbench.catalog, task.contract) if task.kind == "contract" else own(task)


def measured(workbench: Workbench, plan: Plan, work: Workload, guard: Guard, emit: Callable[[Event], None]) -> Report:
    """Measure with this workbench's adapters."""
    from devctl.bench import run
    from devctl.measurement import machine as environment
    from devctl.bench.meter import CpuMeter
    from devctl.measurement.store import Store
    from devctl.stack.clock import SystemClock

    machine = environment.machine(workbench.settings.root)
    clock = SystemClock()
    ports = run.Ports(
        runtime=workbench.runtime,
        broker=lambda: workbench.broker,
        guard=guard,
        clock=clock,
        meter=CpuMeter(clock),
        store=Store.new(workbench.settings.state, clock.now()),
        stack=workbench.settings.stack,
    )
    return run.run(plan, work, machine, ports, emit)
