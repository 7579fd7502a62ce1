"""Chaos for a task of theirs, from the copy to the report. It prints nothing: `emit` is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median

from devctl.broker.port import Broker
from devctl.chaos.stage import NAME, own
from devctl.chaos.theirs import events, image
from devctl.chaos.theirs.copy_file import Copy
from devctl.chaos.theirs.field import Field
from devctl.chaos.theirs.hands import Containers
from devctl.chaos.theirs.ledger import Ledger
from devctl.chaos.theirs.play import play
from devctl.chaos.theirs.remains import AmqpLook, Look, RedisLook
from devctl.chaos.theirs.report import Report, Side
from devctl.chaos.theirs.rows import Row
from devctl.chaos.theirs.stage import Stage, resolved
from devctl.clock import SystemClock
from devctl.errors import DevctlError
from devctl.measurement.serving import Call
from devctl.measurement.session import guarded, taken_away
from devctl.stack import identity
from devctl.workbench import Workbench

QUIET_SECONDS, LEASE_QUIET_SECONDS = 4.0, 13.0
"""So long nothing moves before a row is over; with celeriac, a lease and a look after it."""
FIRST_SECONDS, FIRST_TASKS = 60.0, 5


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    call: Call
    service: str
    rows: Sequence[Row]
    celeriac: bool = False


def run(plan: Plan, checkout: Workbench, emit: Callable[[events.Event], None]) -> Report:
    """Play the rows in a copy of the checkout's stack, and in a second one with celeriac where that is asked."""
    mine = own(checkout)
    with _staged(plan, checkout, mine, emit) as stage:
        emit(events.Staging(celeriac=False))
        copy = stage.build(stage.copy(celeriac=False))
        second = None
        if plan.celeriac:
            second = stage.with_celeriac(replace(stage.copy(celeriac=True), paths=copy.paths))
        try:
            call, ours = _side(plan, plan.call, stage, copy, emit)
            theirs = None
            if second:
                emit(events.Staging(celeriac=True))
                theirs = _side(plan, call, stage, second, emit)[1]
        finally:
            image.remove([*second.images.values()] if second else [])
    return Report(call, plan.service, ours, theirs)


@contextmanager
def _staged(plan: Plan, checkout: Workbench, mine: Workbench, emit: Callable[[events.Event], None]) -> Iterator[Stage]:
    if mine.runtime_choice[0] != "compose":
        raise DevctlError(
            "chaos for a task of yours plays in containers, and this is the local runtime",
            hint="where a container engine is: --runtime compose",
        )
    stack, settings = checkout.stack, mine.settings
    if not stack.broker:
        raise DevctlError(
            "no service of the Compose file is known as the broker: there is none that could be copied",
            hint="devctl doctor shows what was found",
        )
    with guarded(mine) as guard:
        if NAME in identity.known(settings):  # an earlier one was killed, and its guard too
            Workbench(settings).runtime.stop(volumes=True)
            identity.forget(settings)
        stage = Stage(settings, resolved(checkout.settings), stack, plan.service, SystemClock(), emit)
        stage.write(stage.copy(celeriac=False))  # from here on there is something that a guard can stop
        with taken_away(mine, guard):
            yield stage


def _side(plan: Plan, call: Call, stage: Stage, copy: Copy, emit: Callable[[events.Event], None]) -> tuple[Call, Side]:
    with stage.running(copy) as (workbench, ledger):
        _heard(ledger, stage)
        call = call if call.queue else replace(call, queue=_queue(workbench.broker, call.task))
        field = Field(
            workbench.runtime,
            plan.service,
            copy.broker,
            call,
            workbench.broker.publish,
            _look(workbench.broker, call.queue, ledger),
            Containers(workbench.stack.name),
            ledger,
            stage.clock,
            lambda what: emit(events.Doing(what)),
        )
        _first(field)
        field.quiet_seconds = (LEASE_QUIET_SECONDS if copy.celeriac else QUIET_SECONDS) + 3 * field.each
        emit(events.Ready(field.each))
        outcomes = []
        for number, row in enumerate(plan.rows, start=1):
            emit(events.Playing(number, len(plan.rows), row.title))
            outcomes.append(play(row, field))
            emit(events.RowDone(outcomes[-1]))
        return call, Side(field.worker, call.task, tuple(outcomes), field.each)


def _heard(ledger: Ledger, stage: Stage) -> None:
    """Wait until a worker has told how it is set up."""
    end = stage.clock.now() + 40.0
    while not (ledger.look() and ledger.workers):
        if stage.clock.now() > end:
            raise DevctlError(
                f"{stage.service} runs in the copy, but does not load what devctl mounts: its tasks cannot be counted",
                hint="its Python must read PYTHONPATH (no -I, no -E), and its user must be able to write a file",
            )
        stage.clock.sleep(0.1)


def _queue(broker: Broker, task: str) -> str:
    """The only queue of the workers that have the task."""
    queues = {queue for one in broker.consumers() if task in one.tasks for queue in one.queues}
    if len(queues) == 1:
        return queues.pop()
    if not queues:
        raise DevctlError(f"no worker of the copy has the task {task}", hint="devctl tasks lists them")
    raise DevctlError(f"{task}: which queue? its workers consume {', '.join(sorted(queues))}", hint="--queue NAME")


def _look(broker: Broker, queue: str, ledger: Ledger) -> Look:
    return RedisLook(broker.url) if ledger.workers[-1].transport == "redis" else AmqpLook(broker.url, queue)


def _first(field: Field) -> None:
    """Some tasks for each process: it works, and takes so long; the first one of a process is slow."""
    field.ids = []
    field.send(FIRST_TASKS * field.worker.concurrency)

    def over() -> bool:
        field.ledger.look()
        return all(life.over for life in field.ledger.of(field.ids).values())

    field.until(over, FIRST_SECONDS, f"the first {field.call.task} are done")
    lives = field.ledger.of(field.ids)
    if not any(life.succeeded for life in lives.values()):
        raise DevctlError(
            f"{field.call.task} fails with these arguments: nothing that could be lost",
            hint="give it others: --args, --kwargs",
        )
    field.each = median(life.last - life.starts[-1].at for life in lives.values() if life.starts)
