"""devctl queues"""

from __future__ import annotations

from devctl.cli import options


def queues(
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What waits, is claimed (taken by a worker, not yet done), delayed (not due yet) or dead, and who consumes.

    Shows the queues of the contracts, and every other queue that was ever used on this broker. Claims of a worker that
    died go back to their queues by themselves; where no worker of this stack is left to do it, this command does.

    \b
    Examples:
      devctl queues
      devctl queues --json | jq '.queues[] | select(.waiting > 1000)'

    \b
    Exit codes: 0 shown, 1 the broker does not answer, 2 usage
    """
    from devctl.broker.overview import overview
    from devctl.contracts.owners import owners
    from devctl.ui import queues as ui
    from devctl.ui.console import write_json
    from devctl.ui.services import show_next

    workbench = options.open_workbench(runtime, stack)
    catalog = workbench.catalog
    options.announce(workbench, as_json=as_json)
    names = list(dict.fromkeys(one.queue for one in catalog))
    given_back = workbench.broker.give_back()
    found = overview(
        workbench.broker.queues(names),
        workbench.broker.consumers(),
        [(one.name, one.queue) for one in catalog],
        owners(catalog, workbench.stack).items(),
    )
    if as_json:
        write_json(ui.document(found, workbench.runtime.name, given_back))
        return
    ui.show(found)
    if given_back:
        ui.given_back(given_back)
    option = f" --stack {workbench.settings.stack}" if workbench.settings.stack else ""
    steps = []
    if missing := list(dict.fromkeys(one.owner for one in found if one.neglected and one.owner)):
        steps.append((f"devctl up {' '.join(missing)}{option}", "to have them consumed"))
    if any(one.depth.dead for one in found):
        steps.append((f"devctl dead-letters list{option}", "what died, and why"))
    show_next(steps)
