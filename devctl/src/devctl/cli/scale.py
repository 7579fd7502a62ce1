"""devctl scale"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl.cli import options


def scale(
    counts: Annotated[
        list[str],
        typer.Argument(
            metavar="SERVICE=N…", help="Number of replicas of each service.", autocompletion=options.complete_services
        ),
    ],
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="How long to wait until all are ready (default: 60, and until health checks first look).",
            show_default=False,
        ),
    ] = None,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Change how many replicas of a service run. Waits until they are ready.

    What they depend on is started where it does not run. A service that publishes a fixed port cannot be scaled.

    \b
    Examples:
      devctl scale worker=4
      devctl scale worker=0                none, the others go on

    \b
    Exit codes: 0 all ready, 1 could not, 2 usage, 3 not ready in time,
    4 crashed, 130 Ctrl-C
    """
    from devctl.cli.watched import addresses, answering, watched
    from devctl.stack.start import start
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    workbench = options.open_to_start(runtime, stack)
    wanted = workbench.stack.scale(counts)
    options.announce(workbench, as_json=as_json)
    report = watched(
        workbench,
        workbench.stack.closure(wanted),
        lambda emit: start(
            workbench.runtime, list(wanted), timeout=timeout, scale=wanted, ask=answering(workbench), emit=emit
        ),
        as_json=as_json,
    )
    where = addresses(workbench, report)
    if as_json:
        write_json(ui.start_document("scale", report, where, workbench.settings.stack))
    else:
        ui.show_start(report, where)
