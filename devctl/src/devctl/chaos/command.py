"""devctl chaos"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options
from devctl.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from devctl.chaos.scenario import Size


def _complete_scenario(incomplete: str) -> list[str]:
    from devctl.chaos.catalogue import ALL, scenarios

    return [name for name in (ALL, *(one.name for one in scenarios())) if name.startswith(incomplete)]


def chaos(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]…",
            help="Names or numbers of scenarios, or all.",
            show_default="a quick selection",
            autocompletion=_complete_scenario,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only list the scenarios.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter faults, fewer of them.")] = False,
    kills: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only soak: number of kills of a worker.", show_default="20"),
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Only soak: number of tasks, at least.", show_default="9,400 for each kill"
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.1, help="Only soak: seconds between kills, at least.", show_default="5"),
    ] = None,
    stock: Annotated[bool, typer.Option("--stock", help="The same with stock Celery and its defaults.")] = False,
    task: Annotated[
        str, typer.Option(metavar="NAME", help="Put a task of your own workers to it.", show_default=False)
    ] = "",
    args: Annotated[
        str | None, typer.Option(metavar="JSON", help="Its positional arguments: '[1, 2]'.", show_default=False)
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option(metavar="JSON", help="Its keyword arguments.", show_default=False)
    ] = None,
    queue: Annotated[str, typer.Option(metavar="QUEUE", help="Where it is sent to.", show_default=False)] = "",
    service: Annotated[
        str,
        typer.Option(
            metavar="SERVICE",
            help="The worker that is hit.",
            show_default=False,
            autocompletion=options.complete_services,
        ),
    ] = "",
    celeriac: Annotated[
        bool, typer.Option("--with-celeriac", help="Also with celeriac in the copy, side by side.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run that task for real without asking.")] = False,
    runtime: options.RuntimeOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Break things on purpose, and prove that no task is lost. No effect is applied twice, either.

    Workers, Redis, the API and the link between them are killed, frozen, filled and cut under open load. A ledger
    outside the broker knows what ran. The stack is one of its own, on free ports; afterwards nothing of it is left.
    What each row does and what must hold: docs/reliability.md

    With --task, your own workers are put to it as they are, in a copy of the stack: each task is counted by its id, and
    the setting behind each loss is named.

    \b
    Examples:
      devctl chaos                         a quick selection, under two minutes
      devctl chaos all                     every row of the fault matrix
      devctl chaos redis-kill 12           two of them
      devctl chaos all --stock             the same with stock Celery
      devctl chaos soak --kills 320        three million tasks, a kill every 5 s
      devctl chaos --task images.resize --args '["a.jpg", 80]' --with-celeriac

    \b
    Exit codes: 0 all held, 1 an invariant is broken or a fault did not happen,
    2 usage, 130 Ctrl-C
    """
    from contextlib import nullcontext

    from devctl.chaos import report as reports
    from devctl.chaos import screen as ui
    from devctl.chaos.catalogue import SOAK, choose, scenarios
    from devctl.chaos.events import ignore
    from devctl.chaos.run import Ports, run
    from devctl.chaos.scenario import SoakPlan
    from devctl.chaos.stage import own, staged
    from devctl.ui.console import write_json

    if task:
        _theirs(names or (), Asked(task, args, kwargs, queue, service, celeriac, yes), runtime, as_json=as_json)
        return
    if args or kwargs or queue or service or celeriac:
        raise UsageError(
            "--args, --kwargs, --queue, --service and --with-celeriac go with --task NAME", hint="devctl chaos --help"
        )
    size: Size = "quick" if quick or not names else "full"
    if list_:
        ui.list_scenarios(scenarios(), as_json=as_json)
        return
    chosen = choose(names or ())
    if (kills or tasks or every) and not any(one.name == SOAK for one in chosen):
        raise UsageError(
            "--kills, --tasks and --every are options of the scenario soak", hint="devctl chaos soak --kills 20"
        )
    plan = SoakPlan(kills or SoakPlan.kills, tasks or SoakPlan.tasks, every or SoakPlan.every_seconds)
    checkout = options.open_workbench(runtime, "")
    mine, store = own(checkout), reports.new_store(checkout.settings)
    try:
        with nullcontext(ignore) if as_json else ui.Progress() as emit, staged(checkout, mine, stock=stock) as stage:
            options.announce(mine, as_json=as_json)
            report = run(chosen, size, Ports.of(stage, store.folder), emit, plan)
    except KeyboardInterrupt:
        raise _interrupted() from None
    written, others = reports.keep(report, store, checkout.settings)
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


@dataclass(frozen=True)
class Asked:
    """The options of a task of theirs."""

    task: str
    args: str | None
    kwargs: str | None
    queue: str
    service: str
    celeriac: bool
    yes: bool


def _theirs(names: Sequence[str], asked: Asked, runtime: str | None, *, as_json: bool) -> None:
    from contextlib import nullcontext

    from devctl.chaos.theirs import screen
    from devctl.chaos.theirs.events import ignore
    from devctl.chaos.theirs.report import document
    from devctl.chaos.theirs.rows import choose
    from devctl.chaos.theirs.run import Plan, run
    from devctl.measurement.serving import call, serving
    from devctl.measurement.session import refuse_outside
    from devctl.ui.console import write_json

    rows = choose(names)
    checkout = options.open_workbench(runtime, "")
    refuse_outside(checkout)
    what = call(checkout, asked.task, asked.args, asked.kwargs, asked.queue)
    service = serving(checkout.stack, asked.service, checkout.owners.get(what.queue, ""))
    plan = Plan(what, service, rows, asked.celeriac)
    options.announce(checkout, as_json=as_json)
    options.confirm(
        f"{what.task} runs for real in the copy, hundreds or thousands of times, with all its side effects",
        yes=asked.yes,
    )
    try:
        with nullcontext(ignore) if as_json else screen.Progress() as emit:
            report = run(plan, checkout, emit)
    except KeyboardInterrupt:
        raise Interrupted("interrupted: the copy is stopped and removed") from None
    if as_json:
        write_json(document(report))
    else:
        screen.show(report)
    if not report.own.good:
        raise typer.Exit(errors.PROBLEM)


def _interrupted() -> Interrupted:
    return Interrupted("interrupted: the chaos stack is stopped and removed")
