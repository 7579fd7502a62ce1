"""devctl down"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devctl.cli import options


def down(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE]…", help="These only; none: all.", autocompletion=options.complete_services),
    ] = None,
    volumes: Annotated[
        bool, typer.Option("--volumes", "-v", help="Remove the whole stack's data as well; not with services.")
    ] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Stop services and remove them; the data stays unless --volumes is given.

    An isolated stack goes with all it has: services, data, its name. What an interrupted or killed `up` left behind
    goes, too; where nothing runs, nothing happens.

    \b
    Examples:
      devctl down
      devctl down worker                   one service, the others go on
      devctl down --volumes                all, with the data
      devctl down --stack k3f9             an isolated stack, with its data

    \b
    Exit codes: 0 done, 1 could not, 2 usage
    """
    from devctl.errors import UsageError
    from devctl.stack import identity
    from devctl.stack.clock import SystemClock
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    settings = workbench.settings
    names = workbench.stack.resolve(services or ()) or None
    if volumes and names is not None:
        option = f" --stack {settings.stack}" if settings.stack else ""
        raise UsageError(
            "--volumes removes the whole stack's data, not that of single services",
            hint=f"devctl down --volumes{option}",
        )
    options.announce(workbench, as_json=as_json)
    clock = SystemClock()
    begun = clock.now()
    isolated = bool(settings.stack) and names is None
    present = dict.fromkeys(replica.service for replica in workbench.runtime.status())
    in_order = [name for name in workbench.stack.services if name in present]
    in_order += [name for name in present if name not in in_order]  # of an earlier version of the file
    stopped = [name for name in in_order if names is None or name in names]
    data_removed = volumes or isolated
    workbench.runtime.stop(names, volumes=data_removed)
    if isolated:
        identity.forget(settings)
    seconds = clock.now() - begun
    if as_json:
        write_json(
            {
                "schema": "devctl.down/1",
                "runtime": workbench.runtime.name,
                "stack": settings.stack,
                "services": stopped,
                "data_removed": data_removed,
                "seconds": round(seconds, 3),
            }
        )
        return
    if isolated:
        data = f"stack {settings.stack} is gone, and its data"
    else:
        data = "the data is removed, too" if volumes else "the data stays; devctl down --volumes removes it"
    ui.show_stopped(stopped, seconds, data, sys.stdout)
