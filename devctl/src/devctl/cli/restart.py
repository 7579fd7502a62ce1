"""devctl restart"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl.cli import options


def restart(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…",
            help="Only these services (default: all that run).",
            autocompletion=options.complete_services,
        ),
    ] = None,
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
    """Restart services in place, and wait until they are ready.

    No image is built and no setting is read again. After a change, use `devctl up`: it restarts only what changed.

    \b
    Examples:
      devctl restart worker
      devctl restart                       all that run

    \b
    Exit codes: 0 all ready, 1 could not, 2 usage, 3 not ready in time,
    4 crashed, 130 Ctrl-C
    """
    from devctl.cli.watched import addresses, answering, watched
    from devctl.errors import DevctlError
    from devctl.stack.start import restart as restart_and_wait
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    workbench = options.open_to_start(runtime, stack)
    asked = workbench.stack.resolve(services or ())
    options.announce(workbench, as_json=as_json)
    present = {replica.service for replica in workbench.runtime.status()}
    names = [name for name in workbench.stack.services if name in (asked or present)]
    option = workbench.settings.option
    if absent := [name for name in names if name not in present]:
        raise DevctlError(
            f"{', '.join(absent)} does not run: nothing to restart", hint=f"devctl up {' '.join(absent)}{option}"
        )
    if not names:
        raise DevctlError("nothing runs: nothing to restart", hint=f"devctl up{option}")
    report = watched(
        workbench,
        names,
        lambda emit: restart_and_wait(workbench.runtime, names, timeout=timeout, ask=answering(workbench), emit=emit),
        as_json=as_json,
    )
    where = addresses(workbench, report)
    if as_json:
        write_json(ui.start_document("restart", report, where, workbench.settings.stack))
    else:
        ui.show_start(report, where)
