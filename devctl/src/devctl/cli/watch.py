"""devctl watch"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.stack.report import StartReport
    from devctl.watch.changes import Watcher


def watch(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…",
            help="Only these services (default: all that run).",
            autocompletion=options.complete_services,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long one restart may take.")] = 60,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Make changed code live, as soon as it is saved. What uses it is restarted.

    Running tasks may finish. A file that cannot be compiled keeps the old code running. What is watched
    are the paths of `develop: watch:` in the Compose file, or else the folders that an image is built from.

    \b
    Examples:
      devctl up --watch                    start everything, then watch
      devctl watch worker

    \b
    Exit codes: 1 could not, 2 usage, 130 Ctrl-C, its usual end
    """
    from devctl.cli.watched import addresses, watched
    from devctl.errors import DevctlError
    from devctl.stack.start import start
    from devctl.ui import services as ui

    workbench = options.open_to_start(runtime, stack)
    asked = workbench.stack.resolve(services or ())
    options.announce(workbench, as_json=as_json)
    present = {replica.service for replica in workbench.runtime.status()}
    option = workbench.settings.option
    if absent := [name for name in asked if name not in present]:
        raise DevctlError(f"{', '.join(absent)} does not run", hint=f"devctl up {' '.join(absent)} --watch{option}")
    if not present:
        raise DevctlError("nothing runs: nothing to watch", hint=f"devctl up --watch{option}")
    names = asked or [name for name in workbench.stack.services if name in present]
    watcher = begin(workbench, names)
    report = watched(
        workbench,
        workbench.stack.closure(names),
        lambda emit: start(workbench.runtime, names, timeout=timeout, emit=emit),
        as_json=as_json,
    )
    if not as_json:
        ui.show_start(report, addresses(workbench, report), sys.stderr)
    go_on(workbench, watcher, report, timeout, as_json)


def begin(workbench: Workbench, services: Sequence[str]) -> Watcher:
    """Look at those of these services that have code, before they are started."""
    from devctl.errors import DevctlError
    from devctl.watch.changes import Watcher

    described = workbench.stack.services
    watched = [name for name in services if described[name].build or described[name].watch]
    if not watched:
        raise DevctlError(
            f"{', '.join(services)}: only an image, no code to watch",
            hint="name a service that is built here, or give it `develop: watch:` in the Compose file",
        )
    workbench.runtime.live(watched)
    return Watcher(workbench.stack, watched)


def go_on(workbench: Workbench, watcher: Watcher, report: StartReport, timeout: float, as_json: bool) -> None:
    """Make each change live, until Ctrl-C."""
    from devctl.ui.watch import JsonLines, Lines
    from devctl.watch.run import watch as run

    emit = (JsonLines if as_json else Lines)(workbench.settings.root, report)
    try:
        run(workbench.runtime, watcher, emit=emit, timeout=timeout, stack=workbench.settings.stack)
    except KeyboardInterrupt:  # the usual end of it: what runs goes on
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # after the terminal's ^C
        raise SystemExit(errors.INTERRUPTED) from None
