"""devctl demo"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import options
from devctl.errors import DevctlError, Interrupted
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.bench.report import Report as BenchReport
    from devctl.demo.run import Emit, Report
    from devctl.stack.guard import Guard

WORKERS = 2
START_SECONDS = 90.0


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's stack running.")] = False,
    runtime: options.RuntimeOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the main job: start all, follow one order, bench, stop.

    It sends the request that the Compose file names (x-devctl: demo:); without one, a sample of the first contract.
    The demo has a stack of its own (--stack demo), on free ports where the usual ones are taken.

    \b
    Examples:
      devctl demo
      devctl demo --runtime compose        the same story in containers
      devctl demo --keep                   then look round: devctl ps --stack demo

    \b
    Exit codes: 0 done, 1 a step failed, 3 timed out, 4 a service crashed,
    130 Ctrl-C; whatever happens, what was started is stopped
    """
    from devctl.demo import stage
    from devctl.ui.console import write_json
    from devctl.ui.demo import Story, document

    workbench = options.open_workbench(runtime, stage.NAME)
    story = None if as_json else Story()
    try:
        with _stage(workbench, story or (lambda _: None), keep=keep, as_json=as_json) as guard:
            report = _told(workbench, guard, story or (lambda _: None))
    except KeyboardInterrupt:
        if keep:
            hint = f"devctl down --stack {stage.NAME}"
            raise Interrupted("interrupted: what was started by then goes on running", hint=hint) from None
        raise Interrupted("interrupted: the demo's stack is stopped and removed") from None
    finally:
        if story:
            story.end()
    if story:
        story.next_steps(_next(_one_service(workbench), keep=keep))
    else:
        write_json(document(report, workbench.runtime.name, kept=keep))


def _told(workbench: Workbench, guard: Guard, emit: Emit) -> Report:
    from devctl.measurement.request import Request, send
    from devctl.demo.run import Ports, run
    from devctl.demo.sample import Sample
    from devctl.stack.clock import SystemClock
    from devctl.stack.start import start

    asked = Request.of(workbench.stack) if workbench.stack.demo else Sample.of(workbench.catalog)
    if not workbench.stack.workers:  # the bench would say so at the end
        raise DevctlError("the Compose file names no worker", hint="x-devctl: {workers: [NAME]}")
    replicas = dict.fromkeys(workbench.stack.workers[:1], WORKERS)  # from the start: then the bench scales nothing
    ports = Ports(
        runtime=workbench.runtime,
        start=lambda emit: start(workbench.runtime, (), timeout=START_SECONDS, scale=replicas, emit=emit),
        bench=lambda emit: _bench(workbench, guard, emit),
        send=lambda: (
            send(asked, *workbench.runtime.address(asked.service, asked.port))
            if isinstance(asked, Request)
            else asked.send(workbench.broker)
        ),
        clock=SystemClock(),
    )
    return run(asked, ports, emit)


@contextmanager
def _stage(workbench: Workbench, emit: Emit, *, keep: bool, as_json: bool) -> Iterator[Guard]:
    """The demo's stack from its start to its end; when devctl itself is killed the guard takes it away.

    One demo at a time: only who has the guard may clear away what an earlier one left.
    """
    from devctl.measurement.session import guarded
    from devctl.demo import events, stage
    from devctl.stack import identity
    from devctl.stack.clock import SystemClock
    from devctl.stack.undo import Stop

    clock = SystemClock()
    with guarded(workbench) as guard:
        for left_over in stage.left_over(workbench.settings):
            stage.clear(Workbench(left_over).runtime, left_over)
        stage.prepare(workbench.settings)
        options.announce(workbench, as_json=as_json)
        if keep:
            yield guard
            return
        guard.add(Stop(volumes=True))
        try:
            yield guard
            emit(events.Begun("stop", "every service"))
        finally:
            begun = clock.now()
            guard.undo_all()
            if not guard.failures:
                identity.forget(workbench.settings)
        if not guard.failures:
            emit(events.Stopped(clock.now() - begun))


def _bench(workbench: Workbench, guard: Guard, emit: Callable[..., None]) -> BenchReport:
    from devctl.bench.plan import Plan, Task
    from devctl.measurement.session import measured, workload

    plan = Plan(Task("noop"), (WORKERS,), repeats=3, run_seconds=1.0, warmup_seconds=0.5)
    return measured(workbench, plan, workload(workbench, plan.task), guard, emit)


def _one_service(workbench: Workbench) -> str:
    """The one that the demo asks, else any."""
    stack = workbench.stack
    return str(stack.demo.get("service") or next(name for name in stack.services if name != stack.broker))


def _next(service: str, *, keep: bool) -> list[tuple[str, str]]:
    from devctl.demo.stage import NAME

    if keep:
        return [
            (f"devctl logs --stack {NAME}", "what every service said"),
            (f"devctl send-task --wait --stack {NAME}", "publish your own order"),
            (f"devctl down --stack {NAME}", "stop it and remove its data"),
        ]
    return [
        (f"devctl up {service}", "work on one service alone"),
        ("devctl send-task --wait", "publish your own order"),
        ("devctl bench --workers 1,2,4", "measure it on your machine"),
    ]
