"""devctl ps"""

from __future__ import annotations

import sys
from typing import IO, Annotated

import typer

from devctl.cli import options


def ps(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second; Ctrl-C ends it.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What runs: state, health, uptime, CPU, memory, ports.

    Replicas of a service share a line: 3/4 means three of four are ready; CPU (of one core) and memory are their sum.

    \b
    Examples:
      devctl ps
      devctl ps --watch
      devctl ps --stack k3f9
      devctl ps --json | jq '.services[] | select(.health != "healthy")'

    \b
    Exit codes: 0 shown (also where nothing runs), 1 could not look, 2 usage
    """
    from devctl.cli.stacks import others
    from devctl.clock import SystemClock
    from devctl.stack.overview import overview
    from devctl.ui import services as ui
    from devctl.ui.console import write_json
    from devctl.ui.stacks import remind

    workbench = options.open_workbench(runtime, stack)
    order = list(workbench.stack.services)
    options.announce(workbench, as_json=as_json)
    option = workbench.settings.option

    def may_end(name: str) -> bool:
        return name in order and workbench.stack.may_end(name)

    def look(stream: IO[str]) -> None:
        replicas = workbench.runtime.status()
        replicas.sort(key=lambda r: order.index(r.service) if r.service in order else len(order))
        usage = workbench.runtime.usage() if replicas else {}
        stale = workbench.runtime.stale() if replicas else []
        found = overview(replicas, usage, SystemClock().now(), may_end)
        talk = stream if watch else sys.stderr
        if as_json:
            write_json(ui.ps_document(found, workbench.runtime.name, workbench.settings.stack, stale))
        elif found:
            ui.show_table(found, stream)
            if stale:
                ui.show_stale(stale, talk)
                ui.show_next([(f"devctl up {' '.join(stale)}{option}", "run the code as it is now")], talk)
        else:
            talk.write("nothing runs\n")
            ui.show_next([(f"devctl up{option}", "start everything")], talk)
        if not as_json:
            ui.show_in_terminal(workbench.runtime.in_terminal(), talk)
            remind(others(workbench), talk)

    if watch:
        from devctl.ui.live import again

        again(look)
    look(sys.stdout)
