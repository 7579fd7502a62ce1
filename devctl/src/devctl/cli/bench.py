"""devctl bench"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl import errors
from devctl.cli import completion, options
from devctl.errors import Interrupted


def _complete_task(incomplete: str) -> list[str]:
    own = [kind for kind in ("noop", "cpu:", "wait:") if kind.startswith(incomplete)]
    return [*own, *completion.tasks(incomplete)]


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
            help="What the tasks do: noop, cpu:MS, wait:MS, or a contract.",
            autocompletion=_complete_task,
        ),
    ] = "noop",
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

    \b
    Examples:
      devctl bench --workers 4
      devctl bench --workers 1,2,4 --task wait:10
      devctl bench --task process_order --repeats 10 --json

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
    from devctl.measurement.session import guarded
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
    work = workload(plan.task, workbench)
    options.announce(workbench, as_json=as_json)
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
