"""devctl bench"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import completion, options
from devctl.errors import Interrupted

if TYPE_CHECKING:
    from devctl.bench.plan import Plan
    from devctl.bench.workload import Workload


def _complete_task(incomplete: str) -> list[str]:
    own = [kind for kind in ("noop", "cpu:", "wait:") if kind.startswith(incomplete)]
    return [*own, *completion.tasks(incomplete)]


def _what(plan: Plan, work: Workload) -> str:
    count = f"{plan.tasks * plan.repeats:,} times and more" if plan.tasks else "hundreds or thousands of times"
    return f"{work.label} runs for real, {count}, with all its side effects"


def bench(
    workers: Annotated[
        str,
        typer.Option(
            metavar="N[,N…]", help="Number of workers; several numbers give a table.", show_default="as many as run"
        ),
    ] = "",
    task: Annotated[
        str,
        typer.Option(
            metavar="noop|cpu:MS|wait:MS|NAME",
            help="What the tasks do: noop, cpu:MS, wait:MS, or a task of yours.",
            autocompletion=_complete_task,
        ),
    ] = "noop",
    args: Annotated[
        str | None, typer.Option(metavar="JSON", help="Its positional arguments: '[1, 2]'.", show_default=False)
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option(metavar="JSON", help="Its keyword arguments.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run a task of yours for real without asking.")] = False,
    tasks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Tasks in each run.", show_default="what --seconds take")
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="About how long each run takes.")] = 2.5,
    repeats: Annotated[int, typer.Option(metavar="N", help="Runs with each number of workers, at least 3.")] = 5,
    warmup: Annotated[float, typer.Option(metavar="S", help="Seconds of work before the first run that counts.")] = 1.0,
    timeout: Annotated[float, typer.Option(metavar="S", help="The longest that one run may take.")] = 120.0,
    service: Annotated[
        str,
        typer.Option(
            metavar="SERVICE",
            help="The service whose replicas are scaled.",
            show_default="the Compose file's worker",
            autocompletion=options.complete_services,
        ),
    ] = "",
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Measure how many tasks a second the workers finish. Each task is checked: done exactly once.

    A backlog is published to a queue of the bench's own and then drained. Broker and workers are started if they do not
    run. Afterwards everything is as it was. What the figures mean: docs/bench.md

    A task of workers that know nothing of devctl runs for real, with all that it does; a script says --yes to that. It
    is counted by Celery's task events, on for the run, or by results.

    \b
    Examples:
      devctl bench --workers 4
      devctl bench --workers 1,2,4 --task wait:10
      devctl bench --task resize --repeats 10 --json
      devctl bench --task images.resize --args '["a.jpg", 80]' --tasks 200

    \b
    Exit codes: 0 done, 1 tasks lost or doubled, 2 usage, 3 timed out,
    4 a worker crashed, 130 Ctrl-C
    """
    from contextlib import nullcontext

    from devctl.bench.contract import workload
    from devctl.bench.events import ignore
    from devctl.bench.plan import Plan, parse_task, parse_workers
    from devctl.bench.report import document
    from devctl.bench.run import Ports, run
    from devctl.measurement.session import guarded, refuse_outside
    from devctl.ui import bench as ui
    from devctl.ui.console import write_json

    plan = Plan(
        parse_task(task),
        parse_workers(workers) if workers else (),
        repeats=repeats,
        tasks=tasks,
        run_seconds=seconds,
        warmup_seconds=warmup,
        timeout_seconds=timeout,
        service=service,
    )
    workbench = options.open_to_start(runtime, stack)
    refuse_outside(workbench)
    work = workload(plan.task, workbench, args, kwargs)
    options.announce(workbench, as_json=as_json)
    if work.real:
        options.confirm(_what(plan, work), yes=yes)
    try:
        with nullcontext(ignore) if as_json else ui.Progress() as emit, guarded(workbench) as guard:
            report = run(plan, work, Ports.of(workbench, guard), emit)
    except KeyboardInterrupt:
        raise Interrupted("interrupted: everything is as it was before") from None
    if as_json:
        write_json(document(report))
    else:
        ui.show(report)
    if not report.audit.clean:
        raise typer.Exit(errors.PROBLEM)
