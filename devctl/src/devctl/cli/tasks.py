"""devctl tasks"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl.cli import completion, options


def tasks(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One task in full.", autocompletion=completion.tasks)
    ] = "",
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """The task contracts: queue, payload, result, retries. With a NAME: every field, and an example to paste.

    It only reads the contracts: no service needs to run.

    \b
    Examples:
      devctl tasks
      devctl tasks resize
      devctl tasks resize --json | jq '.tasks[0].example'

    \b
    Exit codes: 0 shown, 1 the contracts cannot be read, 2 no such task
    """
    from devctl.contracts.sample import samples
    from devctl.ui import tasks as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    catalog = workbench.catalog
    completion.remember(workbench)
    chosen = [catalog.get(name)] if name else list(catalog)
    # The seed makes the example the same every time: documentation should not flicker.
    if as_json:
        write_json(ui.document([(one, next(samples(one, seed=1))) for one in chosen]))
    elif name:
        ui.show_one(chosen[0], next(samples(chosen[0], seed=1)))
    else:
        ui.show_all(catalog)
