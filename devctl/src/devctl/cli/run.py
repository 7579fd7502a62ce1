"""devctl run"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import options

if TYPE_CHECKING:
    from devctl.stack.model import Service


def run(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Its name.", autocompletion=options.complete_services)
    ],
    debugpy: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65_535,
            help="Wait for an editor's debugger on this port of 127.0.0.1.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for what it depends on.")
    ] = 60,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
) -> None:
    """Run one service in this terminal, not as a replica. Ctrl-C ends it and starts its replicas again.

    It has the stack's settings and addresses. breakpoint() opens a prompt here. While somebody debugs, no time limit
    ends a task.

    \b
    Examples:
      devctl run worker                    then, elsewhere: devctl send-task
      devctl run web --debugpy 5678

    \b
    Exit codes: what its command ends with; 130 Ctrl-C, its usual end;
    1 could not, 2 usage, 3 and 4 as for `devctl up`, of what it depends on
    """
    from devctl.cli.watched import watched
    from devctl.clock import SystemClock
    from devctl.errors import Interrupted
    from devctl.stack.foreground import INTERRUPTED
    from devctl.stack.start import start
    from devctl.undo.guard import guarding
    from devctl.undo.steps import EndRun, Scale, Stop, Undo

    workbench = options.open_to_start(runtime, stack)
    (name,) = workbench.stack.resolve([service])
    options.announce(workbench, as_json=False)
    needed = [one for one in workbench.stack.closure([name]) if one != name]
    here = workbench.runtime
    if needed:
        watched(workbench, needed, lambda emit: start(here, needed, timeout=timeout, emit=emit), as_json=False)
    missing = here.missing_images([name])
    if missing:
        from devctl.stack.start import build_images
        from devctl.ui.progress import Progress

        with Progress(missing) as emit:
            build_images(here, missing, emit)
    if debugpy is not None:
        here.check_debugpy(name)
    replicas = sum(replica.service == name for replica in here.status())
    undo = Undo(lambda: workbench.runtime, lambda: workbench.broker, SystemClock())
    with guarding(workbench.settings, here.name, undo) as guard:
        guard.add(Scale(name, replicas) if replicas else Stop((name,)))
        guard.add(EndRun(name))
        if replicas:
            here.stop([name])
        _say(f"run      {name}: Ctrl-C ends it" + (" and gives its replica back" if replicas else ""))
        if debugpy is not None:
            _say(f"debugpy  {name} begins when an editor connects to 127.0.0.1:{debugpy}")
        try:
            code = here.run(name, debugpy, lambda ports: _say_where(workbench.stack.services[name], ports))
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None
    if replicas:
        count = "its replica" if replicas == 1 else f"its {replicas} replicas"
        ended = "stopped" if code == INTERRUPTED else f"ended with {code}"
        _say(f"run      {name} {ended}; {count} started again")
    if code == INTERRUPTED:
        raise SystemExit(code)  # its usual end: no error is shown
    raise typer.Exit(code)


def _say_where(service: Service, ports: Sequence[str]) -> None:
    from devctl.stack.http import addresses_of

    if found := addresses_of(service, ports):
        _say(f"run      {service.name}: {'  '.join(found)}")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
