"""The options that every command takes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devctl import settings
from devctl.errors import DevctlError, Interrupted, UsageError
from devctl.workbench import Workbench


def complete_stacks(incomplete: str) -> list[str]:
    """Complete the name of an isolated stack."""
    from devctl.stack import identity

    try:
        return [name for name in identity.known(open_workbench(None, "").settings) if name.startswith(incomplete)]
    except DevctlError:
        return []


RuntimeOption = Annotated[
    str | None,
    typer.Option("--runtime", metavar="auto|compose|local", help="Where the services run.", show_default=False),
]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="An isolated stack, by its name.",
        show_default=False,
        autocompletion=complete_stacks,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output; see docs/json.md.")]


def open_workbench(runtime: str | None, stack: str | None, *, forgiving: bool = False) -> Workbench:
    """Settle the settings and hand out the workbench; touches no engine and no broker."""
    return Workbench(settings.load(runtime=runtime, stack=stack, forgiving=forgiving))


def open_to_start(runtime: str | None, stack: str | None) -> Workbench:
    """The same for a command that starts services: their workers get what `devctl bench` measures with."""
    from devctl.measurement import mount

    mount.everywhere(open_workbench(runtime, stack).settings.environment)
    workbench = open_workbench(runtime, stack)
    workbench.refuse_two_runtimes()
    return workbench


def announce(workbench: Workbench, *, as_json: bool) -> None:
    """Say on stderr which runtime the command works with, and why."""
    name, reason = workbench.runtime_choice
    if not as_json:
        sys.stderr.write(f"runtime  {name} ({reason})\n")


def complete_services(incomplete: str) -> list[str]:
    """Complete a service or an alias; reading the Compose file costs as much as a TAB may, so its names are kept."""
    import json
    from contextlib import suppress

    try:
        workbench = open_workbench(None, None)
        state = workbench.settings.compose_file.stat()
        stamp = [str(workbench.settings.compose_file), state.st_mtime_ns, state.st_size]
        kept = workbench.settings.state / "services.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(kept.read_text(encoding="utf-8"))
            if document["of"] == stamp:
                return [name for name in document["names"] if name.startswith(incomplete)]
        names = [*workbench.stack.services, *workbench.stack.aliases]
        with suppress(OSError):
            workbench.settings.make_state()
            kept.write_text(json.dumps({"of": stamp, "names": names}), encoding="utf-8")
    except (DevctlError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def confirm(what: str, *, yes: bool) -> None:
    """Ask on a terminal whether that may be done; UsageError where nobody can answer, Interrupted for a no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(what, hint="--yes says that it may")
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise Interrupted("nothing was done")
