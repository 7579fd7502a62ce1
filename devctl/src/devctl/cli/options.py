"""The options that every command takes."""

from __future__ import annotations

import sys
import textwrap
from typing import Annotated

import typer

from devctl import settings
from devctl.errors import DevctlError, Interrupted, UsageError
from devctl.workbench import Workbench

WIDTH = 80


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
    """Complete a service or an alias; reading the Compose files costs as much as a TAB may, so the names are kept."""
    import json
    from contextlib import suppress

    try:
        settings = open_workbench(None, None).settings
        kept = settings.state / "services.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(kept.read_text(encoding="utf-8"))
            same_files = document["files"][: len(settings.compose_files)] == list(map(str, settings.compose_files))
            if same_files and document["stamps"] == _stamps(document["files"]):
                return [name for name in document["names"] if name.startswith(incomplete)]
        from devctl.stack import file

        found = file.outline(settings)
        files = list(map(str, [*settings.compose_files, *found.files]))
        with suppress(OSError):
            settings.make_state()
            kept.write_text(
                json.dumps({"files": files, "stamps": _stamps(files), "names": found.names}), encoding="utf-8"
            )
    except (DevctlError, OSError):
        return []
    return [name for name in found.names if name.startswith(incomplete)]


def _stamps(files: list[str]) -> list[list[int]]:
    """What changes with each file; nothing for one that is not there."""
    import os

    found = []
    for file in files:
        try:
            state = os.stat(file)  # noqa: PTH116  # of words out of JSON, some of them on each TAB
            found.append([state.st_mtime_ns, state.st_size])
        except OSError:
            found.append([])
    return found


def confirm(what: str, *, yes: bool) -> None:
    """Ask on a terminal whether that may be done; UsageError where nobody can answer, Interrupted for a no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(what, hint="--yes says that it may")
    for line in textwrap.wrap(what, WIDTH):
        sys.stderr.write(f"{line}\n")
    if not typer.confirm("Go on?", err=True):
        raise Interrupted("nothing was done")
