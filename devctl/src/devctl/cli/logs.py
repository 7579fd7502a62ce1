"""devctl logs"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devctl import errors
from devctl.cli import options


def logs(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…", help="Only these services (default: all).", autocompletion=options.complete_services
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new lines as they come; Ctrl-C ends it.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="5m|TIME", help="Only newer ones: 5m, 2h, or 2026-11-23T10:15:00Z.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Only this level and worse: debug, info, warning, error.")
    ] = None,
    grep: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Only entries that this regular expression matches.")
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Only entries of this task, correlation or trace, from all services."),
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", metavar="N", min=0, help="Only the last N entries.")
    ] = None,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show what all services log, by time.

    What devctl itself published or replayed stands among it, as devctl. JSON and logfmt are made readable; of other
    lines, level and task id are known where Celery's, Python's, Redis's and other usual formats have them.

    A terminal shows ids shortened, and --id takes them so; a pipe and --json have them whole.

    \b
    Examples:
      devctl logs --follow
      devctl logs worker web --since 5m --level warning
      devctl logs --id 0190b3c2            one task, through every service
      devctl logs --json | jq .event
    """
    from devctl.logs import read as reading
    from devctl.logs.beside import beside as not_output
    from devctl.logs.selection import wanted
    from devctl.stack.words import here
    from devctl.ui import logs as ui

    asked = wanted(since=since, level=level, grep=grep, identity=id_)
    workbench = options.open_workbench(runtime, stack)
    names = workbench.stack.resolve(services or ()) or list(workbench.stack.services)
    options.announce(workbench, as_json=as_json)
    beside = not_output(workbench.settings, workbench.stack, names if services else ())
    if not as_json:
        files = workbench.stack.logfiles.items()
        written = {name: (path, here(workbench.stack.services[name], path)) for name, path in files if name in names}
        unread = {name: where for name, where in written.items() if name not in beside}
        ui.elsewhere(unread, workbench.settings.root)
    page = ui.JsonLines() if as_json else ui.Page(names)
    runtime_ = workbench.runtime
    if follow:
        try:
            reading.follow(runtime_, names, asked, page, tail=tail, still_wanted=ui.reader_is_there, beside=beside)
        except KeyboardInterrupt:  # the usual end of it, and nothing to explain
            if sys.stderr.isatty():
                sys.stderr.write("\n")  # after the terminal's ^C
            raise SystemExit(errors.INTERRUPTED) from None
    elif not reading.read(runtime_, names, asked, page, tail=tail, beside=beside) and not as_json:
        ui.nothing(filtered=not asked.everything or asked.since is not None or tail == 0)
