"""devctl dash"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devctl.cli import options


def dash(
    once: Annotated[bool, typer.Option("--once", help="Show what is now, and end.")] = False,
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
      devctl dash --once
      devctl dash --once --json | jq '.queues[] | select(.oldest_seconds > 60)'

    \b
    Exit codes: 0 shown, 1 could not look, 2 usage, 130 Ctrl-C
    """
    from devctl import errors
    from devctl.dash.collect import Collector
    from devctl.measurement import mount

    mount.everywhere(options.open_workbench(runtime, stack).settings.environment)
    workbench = options.open_workbench(runtime, stack)
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
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise errors.UsageError(
            "devctl dash needs a terminal", hint="devctl dash --once shows what is now; so does --json"
        )
