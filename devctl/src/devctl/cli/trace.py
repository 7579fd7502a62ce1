"""devctl trace"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options

if TYPE_CHECKING:
    from devctl.trace.model import Trace
    from devctl.workbench import Workbench


def trace(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="A task's id, a correlation or trace id, a dead letter, or a beginning.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show it again and again until all has ended; Ctrl-C ends it, too.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.html", help="Write it as one page for a browser.")
    ] = None,
    with_logs: Annotated[bool, typer.Option("--logs", help="With what each attempt has logged.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """The way of a task through all services, and its time.

    A tree from the request, or whoever published it, to the last commit: each attempt with its error, waits apart from
    runs, retries, what it published, chains, groups and chords, its dead letter and its replay.

    It is read from the records of celeriac, which go back for a day (CELERY_LIFE_SECONDS). Without them it tells what
    result, queue and workers say.

    \b
    Examples:
      devctl trace 0190b3c2                      the beginning of an id is enough
      devctl trace 0190b3c2 --follow             until all has ended
      devctl trace 0190b3c2 --logs               what each attempt has logged
      devctl trace images/1764165837123-0        a dead letter
      devctl trace 0190b3c2 -o trace.html        to hand on

    \b
    Exit codes: 0 it has succeeded, or goes on, 1 a task of it failed, or nothing
    is known of it, 2 usage
    """
    from devctl.trace.explain import Unknown
    from devctl.trace.look import Looking
    from devctl.trace.model import BAD
    from devctl.ui import trace as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    option = workbench.settings.option
    looking = Looking(workbench.broker, identity)
    found = looking.trace()
    if isinstance(found, Unknown):
        problem, details = ui.unknown(identity, found)
        raise errors.DevctlError(
            problem, details=details, hint=f"devctl logs --id {identity}{option}     what the services say of it"
        )
    if follow:
        found = ui.follow(found, looking.follow(), quiet=as_json)
    if with_logs:
        found = logged(workbench, found)
    if output is not None:
        from devctl.ui import trace_page

        try:
            output.write_text(trace_page.page(found), encoding="utf-8")
        except OSError as exc:
            raise errors.DevctlError(f"{output} cannot be written: {exc.strerror}", hint="name another file") from exc
    if as_json:
        write_json(ui.document(found))
    else:
        ui.show(found)
    if not as_json:
        ui.show_steps(found, option)
    if any(one.state in BAD for one in found.tasks):
        raise typer.Exit(errors.PROBLEM)


def logged(workbench: Workbench, found: Trace) -> Trace:
    """The trace, with what its attempts have logged."""
    from devctl.logs import read as reading
    from devctl.logs.beside import beside
    from devctl.logs.selection import Wanted
    from devctl.trace.output import CLOCKS, Kept, with_output

    names, page = list(workbench.stack.services), Kept()
    since = Wanted(since=found.begin - CLOCKS) if found.begin else Wanted()
    reading.read(workbench.runtime, names, since, page, beside=beside(workbench.settings, workbench.stack, names))
    return with_output(found, page.entries)
