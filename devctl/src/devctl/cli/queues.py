"""devctl queues"""

from __future__ import annotations

import sys
from typing import IO, Annotated

import typer

from devctl.cli import options


def queues(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second; Ctrl-C ends it.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What waits in the queues, and who consumes it.

    Messages wait, are claimed (taken by a worker, not yet done), delayed (not due yet) or, with celeriac, dead.

    Shows every queue that a worker consumes, a task is sent to, or a message lies in. With celeriac, claims of a worker
    that died go back to their queues by themselves; where no worker is left to do it, `devctl restore` does.

    \b
    Examples:
      devctl queues
      devctl queues --watch
      devctl queues --json | jq '.queues[] | select(.waiting > 1000)'

    \b
    Exit codes: 0 shown, 1 the broker does not answer, 2 usage
    """
    from devctl.broker.nodes import service_of
    from devctl.broker.overview import overview
    from devctl.ui import queues as ui
    from devctl.ui.console import write_json
    from devctl.ui.services import show_next

    workbench = options.open_workbench(runtime, stack)
    tasks = workbench.tasks
    options.announce(workbench, as_json=as_json)
    names = list(dict.fromkeys([*(one.queue for one in tasks if one.queue), *workbench.owners]))
    option = workbench.settings.option

    def look(stream: IO[str]) -> None:
        broker, replicas = workbench.broker, workbench.runtime.status()
        consumers = broker.consumers()
        consumed = sorted({queue for one in consumers for queue in one.queues})
        found = overview(
            broker.queues(list(dict.fromkeys([*names, *consumed]))),
            consumers,
            [(one.name, one.queue) for one in tasks if one.queue],
            workbench.owners.items(),
            {one.service for one in replicas if one.state == "running"},
            lambda node: service_of(node, replicas, workbench.stack.services),
        )
        expired = broker.expired()
        if as_json:
            write_json(ui.document(found, workbench.runtime.name, expired, broker.blind))
            return
        talk = stream if watch else sys.stderr
        ui.show(found, stream, letters=broker.celeriac)
        ui.show_notes(found, broker.blind, letters=broker.celeriac, stream=talk)
        if not found:
            talk.write("no queue is known to this broker, and no worker answers\n")
        if expired:
            ui.show_expired(expired, option, talk)
        steps = []
        if missing := list(
            dict.fromkeys(one.owner for one in found if one.neglected and one.owner and not one.owner_runs)
        ):
            steps.append((f"devctl up {' '.join(missing)}{option}", "to have them consumed"))
        if any(one.depth.dead for one in found):
            steps.append((f"devctl dead-letters list{option}", "what died, and why"))
        show_next(steps, talk)

    if watch:
        from devctl.ui.live import again

        again(look)
    look(sys.stdout)
