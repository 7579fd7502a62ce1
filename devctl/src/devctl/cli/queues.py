"""devctl queues"""

from __future__ import annotations

from devctl.cli import options


def queues(
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What waits, what is claimed (taken by a worker, not yet done), and who consumes.

    Shows the queues of the contracts, and every other queue that was ever used on this broker.

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
    found = overview(
        workbench.broker.queues(names),
        workbench.broker.consumers(),
        [(one.name, one.queue) for one in catalog],
        owners(catalog, workbench.stack).items(),
    )
    if as_json:
        write_json(ui.document(found, workbench.runtime.name))
        return
    ui.show(found)
    option = f" --stack {workbench.settings.stack}" if workbench.settings.stack else ""
    if missing := list(dict.fromkeys(one.owner for one in found if one.neglected and one.owner)):
        show_next([(f"devctl up {' '.join(missing)}{option}", "to have them consumed")])
