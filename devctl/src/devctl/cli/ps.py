"""devctl ps"""

from __future__ import annotations

import sys

from devctl.cli import options


def ps(
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What runs: state, health, for how long, CPU and memory, ports.

    Replicas of a service share a line: 3/4 means three of four are ready; CPU (of one core) and memory are their sum.

    \b
    Examples:
      devctl ps
      devctl ps --stack k3f9
      devctl ps --json | jq '.services[] | select(.health != "healthy")'

    \b
    Exit codes: 0 shown (also where nothing runs), 1 could not look, 2 usage
    """
    from devctl.stack.clock import SystemClock
    from devctl.stack.overview import overview
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    order = list(workbench.stack.services)
    options.announce(workbench, as_json=as_json)
    replicas = workbench.runtime.status()
    replicas.sort(key=lambda r: order.index(r.service) if r.service in order else len(order))
    usage = workbench.runtime.usage() if replicas else {}
    found = overview(replicas, usage, SystemClock().now())
    if as_json:
        write_json(ui.ps_document(found, workbench.runtime.name, workbench.settings.stack))
    elif found:
        ui.show_table(found)
    else:
        option = f" --stack {workbench.settings.stack}" if workbench.settings.stack else ""
        sys.stderr.write("nothing runs\n")
        ui.show_next([(f"devctl up{option}", "start everything")])
