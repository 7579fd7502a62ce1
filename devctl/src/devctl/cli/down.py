"""devctl down"""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from devctl.cli import options
from devctl.cli.stacks import others
from devctl.workbench import Workbench


def down(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…", help="Only these services (default: all).", autocompletion=options.complete_services
        ),
    ] = None,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Remove the whole stack's data as well; not with services.")
    ] = False,
    all_stacks: Annotated[bool, typer.Option("--all-stacks", help="Every stack of this checkout; asks first.")] = False,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Stop services and remove them. The data stays unless --volumes is given.

    An isolated stack is removed completely: services, data, name. What an interrupted or killed `up` left is removed,
    too. If nothing runs, nothing happens.

    \b
    Examples:
      devctl down
      devctl down worker                   one service, the others go on
      devctl down --volumes                all services, with the data
      devctl down --stack k3f9             an isolated stack, with its data
      devctl down --all-stacks             all that `devctl stacks` lists

    \b
    Exit codes: 0 done, 1 could not, 2 usage
    """
    from devctl.errors import UsageError
    from devctl.ui.stacks import remind

    if all_stacks:
        if services or stack or volumes:
            raise UsageError(
                "--all-stacks stops every stack completely", hint="leave out services, --stack and --volumes"
            )
        _all(runtime, sure, as_json)
        return
    workbench = options.open_workbench(runtime, stack)
    names = workbench.stack.resolve(services or ()) or None
    if volumes and names is not None:
        raise UsageError(
            "--volumes removes the whole stack's data, not that of single services",
            hint=f"devctl down --volumes{workbench.settings.option}",
        )
    options.announce(workbench, as_json=as_json)
    _stop(workbench, names, volumes, as_json)
    if not as_json and names is None:
        remind(others(workbench))


def _all(runtime: str | None, sure: bool, as_json: bool) -> None:
    """Stop every stack of this checkout."""
    from devctl.errors import DevctlError, OtherCheckout, UsageError
    from devctl.stack import identity

    workbench = options.open_workbench(runtime, "")
    isolated = identity.known(workbench.settings)
    if isolated and not sure:
        data = f"{', '.join(isolated)} would go with all data"
        if not sys.stdin.isatty():
            raise UsageError(f"nothing was stopped: {data}, and nobody can be asked", hint="add --yes if you are sure")
        if not typer.confirm(f"Stop {len(isolated) + 1} stacks? {data}.", err=True):
            raise DevctlError("nothing was stopped")
    for name in (*isolated, ""):
        one = Workbench(dataclasses.replace(workbench.settings, stack=name))
        try:
            one.runtime.status()
        except OtherCheckout:
            _say(one, [], 0.0, "this checkout runs no stack of its own", as_json)
            continue
        options.announce(one, as_json=as_json)
        _stop(one, None, False, as_json)


def _stop(workbench: Workbench, names: list[str] | None, volumes: bool, as_json: bool) -> None:
    """Stop these services, or the whole stack, and say so."""
    from devctl.clock import SystemClock
    from devctl.logs import own
    from devctl.stack import identity

    settings = workbench.settings
    clock = SystemClock()
    begun = clock.now()
    isolated = bool(settings.stack) and names is None
    present = dict.fromkeys(replica.service for replica in workbench.runtime.status())
    in_order = [name for name in workbench.stack.services if name in present]
    in_order += [name for name in present if name not in in_order]  # of an earlier version of the file
    stopped = [name for name in in_order if names is None or name in names]
    data_removed = volumes or isolated
    workbench.runtime.stop(names, volumes=data_removed)
    if names is None:
        own.clear(settings)
    if isolated:
        identity.forget(settings)
    seconds = clock.now() - begun
    if isolated:
        data = f"stack {settings.stack} is gone, and its data"
    else:
        data = "the data is removed, too" if volumes else "the data stays; devctl down --volumes removes it"
    _say(workbench, stopped, seconds, data, as_json, data_removed=data_removed)


def _say(
    workbench: Workbench, stopped: list[str], seconds: float, data: str, as_json: bool, *, data_removed: bool = False
) -> None:
    """Print what was stopped."""
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    if not as_json:
        ui.show_stopped(stopped, seconds, data, sys.stdout)
        return
    write_json(
        {
            "schema": "devctl.down/1",
            "runtime": workbench.runtime.name,
            "stack": workbench.settings.stack,
            "services": stopped,
            "data_removed": data_removed,
            "seconds": round(seconds, 3),
        }
    )
