"""devctl chaos"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options
from devctl.errors import DevctlError, Interrupted, UsageError
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from pathlib import Path

    from devctl.measurement.store import Store
    from devctl.chaos.events import Event
    from devctl.chaos.report import Report
    from devctl.chaos.scenario import Scenario, Size, SoakPlan
    from devctl.chaos.stage import Stage


def _complete_scenario(incomplete: str) -> list[str]:
    from devctl.chaos.catalogue import ALL, scenarios

    return [name for name in (ALL, *(one.name for one in scenarios())) if name.startswith(incomplete)]


def chaos(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]…",
            help="Which: a name, a number, or all.",
            show_default="a quick selection",
            autocompletion=_complete_scenario,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the scenarios and do nothing.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter faults, fewer of them.")] = False,
    kills: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of soak: how often a worker is killed.", show_default="20"),
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of soak: tasks, at least.", show_default="9,400 for each kill"),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.1, help="Of soak: seconds between kills, at least.", show_default="5"),
    ] = None,
    stock: Annotated[bool, typer.Option("--stock", help="Put stock Celery to it, with its defaults.")] = False,
    runtime: options.RuntimeOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Break things on purpose, and prove that no task is lost. No effect is applied twice, either.

    Workers, Redis, the API and the link between them are killed, frozen, filled and cut under open load. A ledger
    outside the broker knows what ran. The stack is one of its own, on free ports; afterwards nothing of it is left.
    What each row does and what must hold: docs/reliability.md

    \b
    Examples:
      devctl chaos                         a quick selection, under two minutes
      devctl chaos all                     every row of the fault matrix
      devctl chaos redis-kill 12           two of them
      devctl chaos all --stock             the same with stock Celery
      devctl chaos soak --kills 320        three million tasks, a kill every few seconds

    \b
    Exit codes: 0 all held, 1 an invariant is broken or a fault did not happen,
    2 usage, 130 Ctrl-C
    """
    from contextlib import nullcontext
    from time import time

    from devctl.measurement.store import Store
    from devctl.chaos.catalogue import SOAK, choose, scenarios
    from devctl.chaos.events import ignore
    from devctl.chaos.scenario import SoakPlan
    from devctl.chaos import screen as ui
    from devctl.ui.console import write_json

    size: Size = "quick" if quick or not names else "full"
    if list_:
        ui.list_scenarios(scenarios(), as_json=as_json)
        return
    chosen = choose(names or ())
    if (kills or tasks or every) and not any(one.name == SOAK for one in chosen):
        raise UsageError("--kills, --tasks and --every are of the soak", hint="devctl chaos soak --kills 20")
    plan = SoakPlan(kills or SoakPlan.kills, tasks or SoakPlan.tasks, every or SoakPlan.every_seconds)
    workbench = options.open_workbench(runtime, "")
    store = Store.new(workbench.settings.state, time())
    try:
        with nullcontext(ignore) if as_json else ui.Progress() as emit, _stage(workbench, stock, as_json) as stage:
            report = _played(workbench, stage, chosen, size, plan, store.folder, emit)
    except KeyboardInterrupt:
        raise _interrupted() from None
    written, others = _keep(workbench, report, store)
    if as_json:
        write_json(written)
    else:
        ui.show(report, others)
        ui.show_logs(report, store.folder)
    if report.interrupted:
        interrupted = _interrupted()
        interrupted.reported = True
        raise interrupted
    if not report.proved:
        raise typer.Exit(errors.PROBLEM)


def _interrupted() -> Interrupted:
    return Interrupted("interrupted: the chaos stack is stopped and removed")


@contextmanager
def _stage(workbench: Workbench, stock: bool, as_json: bool) -> Iterator[Stage]:
    """The chaos stack from its first start to its end; when devctl itself is killed its guard takes it away."""
    from devctl.chaos import stage as stages
    from devctl.chaos.compose_file import Place
    from devctl.chaos.scenario import Setup
    from devctl.measurement.session import guarded
    from devctl.measurement.request import Request
    from devctl.stack import document, identity
    from devctl.stack.clock import SystemClock
    from devctl.stack.undo import Stop

    stack = workbench.stack
    if not stack.workers:
        raise DevctlError("the Compose file names no worker", hint="x-devctl: {workers: [NAME]}")
    request = Request.of(stack) if stack.demo else None
    mine = stages.settings_of(workbench.settings)
    with guarded(Workbench(mine)) as guard:
        name = Workbench(mine).runtime_choice[0]
        mine = replace(mine, runtime=name)
        options.announce(Workbench(mine) if stages.left_over(mine) else workbench, as_json=as_json)
        if stages.left_over(mine):
            Workbench(mine).runtime.stop(volumes=True)
            identity.forget(mine)
        place = Place(
            runtime=name,
            stack=stack,
            worker=stack.workers[0],
            request=request if request and request.id else None,
            stock=stock,
            programs=stages.programs(),
            redis=stages.redis_binary(mine.environment) if name == "local" else "",
            faketime=stages.faketime(),
            queues=tuple(one.queue for one in workbench.catalog) if stack.contracts else (),
        )
        original = document.parse(workbench.settings.compose_file).data
        stage = stages.Stage(mine, original, place, lambda: Workbench(mine).runtime, SystemClock())
        stage.write(Setup())  # from here on there is something that a guard can stop
        guard.add(Stop(volumes=True))
        try:
            yield stage
        finally:
            guard.undo_all()
            if not guard.failures:
                identity.forget(mine)


def _played(
    workbench: Workbench,
    stage: Stage,
    scenarios: Sequence[Scenario],
    size: Size,
    plan: SoakPlan,
    logs: Path,
    emit: Callable[[Event], None],
) -> Report:
    from devctl.chaos.hands import ContainerHands, LocalHands
    from devctl.chaos.run import Ports, run, why_not
    from devctl.stack import identity

    local = stage.place.runtime == "local"
    hands = LocalHands() if local else ContainerHands(identity.project_name(replace(workbench.settings, stack="chaos")))
    return run(scenarios, size, Ports(stage, hands, stage.clock, why_not, logs), emit, plan)


def _keep(workbench: Workbench, report: Report, store: Store) -> tuple[dict[str, object], dict[str, int]]:
    """Write the report down; the document, and how the other side fared on the same rows when it was last put to it."""
    from dataclasses import asdict

    from devctl.measurement.machine import machine
    from devctl.chaos.report import document, tally_of_others

    settings = workbench.settings
    numbers = [row.number for row in report.rows]
    others = tally_of_others(settings.state / "runs", stock=not report.stock, runtime=report.runtime, numbers=numbers)
    written = document(report, asdict(machine(settings.root)))
    store.folder.mkdir(parents=True, exist_ok=True)
    store.report(written)
    return written, dict(others)
