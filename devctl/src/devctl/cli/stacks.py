"""devctl stacks"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devctl.cli import options
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.stack.overview import StackState
    from devctl.stack.port import Replica


def stacks(
    as_json: options.JsonOption = False,
) -> None:
    """The stacks of this checkout, and what runs in each.

    \b
    Examples:
      devctl stacks
      devctl down --stack k3f9
      devctl down --all-stacks

    \b
    Exit codes: 0 shown, 1 could not look, 2 usage
    """
    from devctl.ui import stacks as ui
    from devctl.ui.console import write_json

    found = find(options.open_workbench(None, ""))
    if as_json:
        write_json(ui.document(found))
    else:
        ui.show(found, sys.stdout)


def find(workbench: Workbench) -> list[StackState]:
    """Look at every stack of the checkout that this workbench is in."""
    from devctl.stack import overview

    def status(name: str) -> Sequence[Replica]:
        return Workbench(replace(workbench.settings, stack=name)).runtime.status()

    return overview.stacks(workbench.settings, status)


def others(workbench: Workbench) -> list[str]:
    """The names of the other stacks of this checkout, as --stack takes them, whether they run or not: cheap."""
    from devctl.stack import identity

    return [name for name in identity.known(workbench.settings) if name != workbench.settings.stack]
