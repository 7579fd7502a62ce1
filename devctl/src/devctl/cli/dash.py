"""devctl dash"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import options

if TYPE_CHECKING:
    from devctl.workbench import Workbench


def dash(
    once: Annotated[bool, typer.Option("--once", help="Show what is now, and end.")] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Show it in the browser: a page on 127.0.0.1, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Where the page is (default: 8765, else one that is free).",
            show_default=False,
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser: only say where the page is.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Everything at a glance, all day.

    Services, queues, workers and what they run, recent failures: refreshed once a second, cheaply. A broker that goes
    away is waited for.

    \b
    Keys:
      arrows, tab   select             Enter   the way of a task
      l             logs               s, r    scale, restart a service
      p             pause a queue      R, D    replay, drop a dead letter
      ?             help               q       end
    What changes something asks before.

    \b
    Examples:
      devctl dash
      devctl dash --web
      devctl dash --once
      devctl dash --once --json | jq '.queues[] | select(.oldest_seconds > 60)'

    \b
    Exit codes: 0 shown, 1 could not look, 2 usage, 130 Ctrl-C
    """
    from devctl import errors
    from devctl.dash.collect import Collector
    from devctl.measurement import mount

    if (web and (once or as_json)) or (not web and (port is not None or no_open)):
        raise errors.UsageError(
            "--web goes with neither --once nor --json" if web else "--port and --no-open are of --web",
            hint="devctl dash --web     in the browser\ndevctl dash --once --json     for a program",
        )
    mount.everywhere(options.open_workbench(runtime, stack).settings.environment)
    workbench = options.open_workbench(runtime, stack)
    if web:
        _serve(workbench, port, open_browser=not no_open)
        return
    collector = Collector(workbench.dashboard)
    if as_json:
        from time import sleep

        from devctl.dash.document import document
        from devctl.ui.console import write_json

        try:
            while True:
                write_json(document(collector.look()))
                if once:
                    return
                sleep(1.0)
        except KeyboardInterrupt:
            raise SystemExit(errors.INTERRUPTED) from None
    from devctl.ui import dash as ui

    if once:
        ui.show(collector.look())
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise errors.UsageError(
            "devctl dash needs a terminal", hint="devctl dash --once shows what is now; --web shows it in the browser"
        )
    from devctl.dash.actions import Actions
    from devctl.logs.beside import beside
    from devctl.ui.dashboard import run
    from devctl.ui.readings import Readings

    views = Readings(workbench.dashboard, lambda services: beside(workbench.settings, workbench.stack, services))
    run(collector, Actions(workbench.dashboard), views)


def _serve(workbench: Workbench, port: int | None, *, open_browser: bool) -> None:
    from devctl import errors
    from devctl.dash.web.server import Server
    from devctl.dash.web.site import site
    from devctl.logs.beside import beside

    behind = site(workbench.dashboard, lambda services: beside(workbench.settings, workbench.stack, services))
    with Server(behind, port) as server:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        sys.stderr.write("Ctrl-C ends it\n")
        if open_browser and _has_screen():
            import webbrowser

            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the usual end of it
            raise SystemExit(errors.INTERRUPTED) from None


def _has_screen() -> bool:
    """Where there is none, a browser would be one in this terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(one) for one in ("DISPLAY", "WAYLAND_DISPLAY"))
