"""The options that every command takes."""

from __future__ import annotations

from typing import Annotated

import typer

from devctl import settings
from devctl.workbench import Workbench

RuntimeOption = Annotated[
    str | None, typer.Option("--runtime", metavar="auto|compose|local", help="Where the services run.", show_default=False)
]
StackOption = Annotated[
    str | None, typer.Option("--stack", metavar="NAME", help="An isolated stack, by its name.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output; see docs/json.md.")]


def open_workbench(runtime: str | None, stack: str | None) -> Workbench:
    """Settle the settings and hand out the workbench; touches no engine and no broker."""
    return Workbench(settings.load(runtime=runtime, stack=stack))
