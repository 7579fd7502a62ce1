"""devctl up"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import options
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.stack.report import Emit, StartReport


def up(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…",
            help="These services and what they depend on (default: all without a profile).",
            autocompletion=options.complete_services,
        ),
    ] = None,
    build: Annotated[
        bool | None,
        typer.Option(
            "--build/--no-build",
            help="Build all images or none (default: those that are missing or older than their sources).",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale", metavar="SERVICE=N", help="Number of replicas.", autocompletion=options.complete_services
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="How long to wait until all are ready (default: 60, and until health checks first look).",
            show_default=False,
        ),
    ] = None,
    isolated: Annotated[
        bool,
        typer.Option("--isolated", help="A second stack beside the first: own name, ports, broker and data."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Then restart what uses changed code; Ctrl-C ends the watching, not the services."
        ),
    ] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Start services and what they depend on. Waits until they are ready.

    What runs and is up to date stays as it is; what has other code or settings is restarted. A service that exits or
    restarts has crashed, whatever its exit code; the last lines of its log are shown. A job, such as a migration, is
    done with exit 0: one that another service waits for, or that is not restarted and serves nobody.

    With --isolated, fixed ports, container names, volumes and networks are moved out of the first stack's way.

    \b
    Examples:
      devctl up                            everything
      devctl up web                        web and what it needs, nothing else
      devctl up worker --scale worker=4
      devctl up --watch                    and make each change of the code live
      devctl up --isolated                 beside what runs already

    \b
    Exit codes: 0 all ready, 1 could not, 2 usage, 3 not ready in time,
    4 crashed, 130 Ctrl-C
    """
    from devctl.cli.watch import begin, go_on
    from devctl.cli.watched import addresses, answering, watched
    from devctl.errors import DevctlError
    from devctl.stack import isolation, unused
    from devctl.stack.start import TIMEOUT_SECONDS, start
    from devctl.ui import services as ui
    from devctl.ui.console import write_json

    workbench = own = options.open_to_start(runtime, stack)
    if isolated:
        workbench = _isolated(workbench, as_json=as_json)
    names = workbench.stack.chosen(services or ())
    wanted = workbench.stack.scale(scale or ())
    in_terminals = workbench.runtime.in_terminal()
    in_terminal = [name for name in in_terminals if name in names]
    options.announce(workbench, as_json=as_json)
    if isolated and not as_json:
        first = dataclasses.replace(own.settings, stack="")
        moved = isolation.moved(Workbench(first).stack, workbench.stack.closure(names))
        ui.show_moved(moved, own.settings.root)
    if not as_json:
        ui.show_unset(workbench.unset)
        ui.show_unused(unused.find(workbench.settings))
    if in_terminal and not (names := [name for name in names if name not in in_terminal]):
        raise DevctlError(
            f"{', '.join(in_terminal)} runs in a terminal (devctl run), in place of replicas: nothing was started",
            hint="Ctrl-C there gives the replicas back",
        )
    if not as_json:
        ui.show_in_terminal(in_terminal)
    names = _possible(workbench, names, named=bool(services), as_json=as_json)
    watcher = begin(workbench, names) if watch else None

    def go(emit: Emit) -> StartReport:
        ask = answering(workbench)
        return start(workbench.runtime, names, timeout=timeout, build=build, scale=wanted, ask=ask, emit=emit)

    with _needs(workbench, names, as_json=as_json):
        report = watched(workbench, workbench.stack.closure(names), go, as_json=as_json)
    where = addresses(workbench, report)
    steps = _next(workbench, in_terminals)
    if as_json:
        write_json(ui.start_document("up", report, where, workbench.settings.stack, steps))
    else:
        ui.show_start(report, where)
        sys.stdout.flush()
        ui.show_next(steps)
    if watcher:
        go_on(workbench, watcher, report, timeout or TIMEOUT_SECONDS, as_json)


def _possible(workbench: Workbench, names: list[str], *, named: bool, as_json: bool) -> list[str]:
    """Leave out what this runtime cannot run, unless it was named, and say so, and what it does in another way."""
    from devctl.stack.start import possible
    from devctl.ui import services as ui

    runtime = workbench.runtime
    names, left_out = (names, []) if named else possible(runtime, names)
    if not as_json:
        ui.show_left_out(left_out)
        ui.show_remarks(runtime.remarks([n for n in workbench.stack.closure(names) if not runtime.refusal(n)]))
    return names


def _isolated(workbench: Workbench, *, as_json: bool) -> Workbench:
    """Make the stack known, all its ports free ones, and say its name."""
    from devctl.stack import identity

    settings = workbench.settings
    new = dataclasses.replace(settings, stack=settings.stack or identity.new_name(settings))
    if new.stack not in identity.known(settings):
        identity.isolate(new)
    if not as_json:
        sys.stderr.write(f"stack    {new.stack} (of its own: give --stack {new.stack} to other commands)\n")
    return Workbench(new)


@contextmanager
def _needs(workbench: Workbench, names: Sequence[str], *, as_json: bool) -> Iterator[None]:
    """Say which services these ones name without depending on them, and do not run; where it fails, once more."""
    from devctl.discovery.needs import undeclared
    from devctl.errors import DevctlError
    from devctl.ui import services as ui

    needs = undeclared(workbench.stack, names)
    if needs:
        running = {replica.service for replica in workbench.runtime.status() if replica.state == "running"}
        needs = [one for one in needs if one.needs not in running]
    together = " ".join(["devctl up", *names, *(one.needs for one in needs)]) + workbench.settings.option
    if needs and not as_json:
        ui.show_needs(needs, together)
    try:
        yield
    except DevctlError as failed:
        if needs:
            failed.hint = "\n".join([f"{together}   what it uses, too", *failed.hint.splitlines()])
        raise


def _next(workbench: Workbench, in_terminals: Sequence[str]) -> list[tuple[str, str]]:
    """What to type next: a worker where none runs, a task, and for an isolated stack its end."""
    from devctl.contracts.owners import consumers

    name, option = workbench.settings.stack, workbench.settings.option
    running = {replica.service for replica in workbench.runtime.status()} | {*in_terminals}
    consuming = {*workbench.stack.workers, *(consumers(workbench.stack) if workbench.stack.contracts else ())}
    steps = []
    if workbench.stack.workers and not running & consuming:
        worker = workbench.stack.workers[0]
        steps.append((f"devctl up {worker}{option}", "no worker runs yet: tasks wait in their queues"))
    if workbench.stack.contracts and workbench.stack.broker in running:
        steps.append((f"devctl send-task{option}", "publish a sample task"))
    elif workbench.stack.workers and workbench.stack.broker in running:
        steps.append((f"devctl tasks{option}", "the tasks that can be sent"))
    if name:
        steps.append((f"devctl down{option}", "remove this stack and its data"))
    return steps
