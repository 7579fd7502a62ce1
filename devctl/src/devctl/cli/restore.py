"""devctl restore"""

from __future__ import annotations

from devctl.cli import options


def restore(
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Return expired claims to their queues. Their worker died, and no other one returns them.

    Workers with celeriac do this for each other within seconds. It is needed only where none of them runs any more.
    What stock workers claimed comes back without it: then it says how.

    \b
    Examples:
      devctl restore

    \b
    Exit codes: 0 done, also where there were none, 1 the broker does not
    answer, 2 usage
    """
    from devctl.ui import queues as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    broker = workbench.broker
    if broker.returned and not as_json:
        ui.show_returned(broker.returned)
        return
    restored = broker.give_back()
    if as_json:
        write_json({"schema": "devctl.restore/1", "restored": restored})
    else:
        ui.show_restored(restored)
