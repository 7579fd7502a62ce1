"""devctl tasks"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import completion, options
from devctl.errors import DevctlError
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.contracts.catalog import Catalog
    from devctl.contracts.signatures import Signatures


def tasks(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One task in full.", autocompletion=completion.tasks)
    ] = "",
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """The tasks: queue, what they take, who serves them. With NAME: a call to paste.

    It reads contracts, else the code (without importing it): no service needs to run. Workers that do are asked
    what they have registered.

    \b
    Examples:
      devctl tasks
      devctl tasks resize
      devctl tasks resize --json | jq '.tasks[0].example'

    \b
    Exit codes: 0 shown, 1 the tasks cannot be read, 2 no such task
    """
    from devctl.contracts.catalog import Catalog

    workbench = options.open_workbench(runtime, stack)
    found = workbench.tasks
    completion.remember(workbench)
    if isinstance(found, Catalog):
        _contracts(found, name, as_json=as_json)
        return
    from devctl.contracts.signatures import Signatures

    assert isinstance(found, Signatures), "there are two kinds"
    _signatures(workbench, found, name, as_json=as_json)


def _contracts(catalog: Catalog, name: str, *, as_json: bool) -> None:
    from devctl.ui import tasks as ui
    from devctl.ui.console import write_json

    chosen = [catalog.get(name)] if name else list(catalog)
    if as_json:
        write_json(ui.document([(one, one.example()) for one in chosen]))
    elif name:
        ui.show_one(chosen[0], chosen[0].example())
    else:
        ui.show_all(catalog)


def _signatures(workbench: Workbench, found: Signatures, name: str, *, as_json: bool) -> None:
    from devctl.ui import signatures as ui
    from devctl.ui.console import write_json

    found = found.living(living(workbench))
    chosen = [found.get(name)] if name else list(found)
    option = workbench.settings.option
    if as_json:
        write_json(ui.document(chosen))
    elif name:
        ui.show_one(chosen[0], option)
    elif chosen:
        ui.show_all(chosen, option)
    else:
        raise DevctlError(
            "no task of Celery was found: neither in the code of a service nor registered by a living worker",
            hint="devctl doctor     what was found of each service, and from where",
        )


def living(workbench: Workbench):  # type: ignore[no-untyped-def]  # a tuple of Consumer, which is dear to import
    """The workers that answer; none where this stack was not started, or where its broker is away."""
    from devctl.broker.sending import ANSWER_SECONDS
    from devctl.stack import identity

    if not identity.last_runtime(workbench.settings):
        return ()
    try:
        return tuple(workbench.broker.consumers(timeout=ANSWER_SECONDS))
    except DevctlError:
        return ()
