"""devctl send-task"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import completion, options
from devctl.cli.tasks import living
from devctl.errors import UsageError
from devctl.workbench import Workbench

if TYPE_CHECKING:
    from devctl.broker.port import Message
    from devctl.ui.sent import Owner


def send_task(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="images.resize, or resize.", autocompletion=completion.tasks),
    ] = "",
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change a field, or give a parameter; may be repeated.",
            autocompletion=completion.paths,
        ),
    ] = None,
    json_file: Annotated[
        str, typer.Option(metavar="FILE|-", help="Payloads: one object, an array, or JSON lines.", show_default=False)
    ] = "",
    count: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Number of samples.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="The same N gives the same samples; ids and times are always new.", show_default=False
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the result and show it.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long --wait waits.")] = 30.0,
    args: Annotated[str | None, typer.Option(metavar="JSON", help="Positional arguments.", show_default=False)] = None,
    kwargs: Annotated[str | None, typer.Option(metavar="JSON", help="Keyword arguments.", show_default=False)] = None,
    queue: Annotated[
        str, typer.Option(metavar="QUEUE", help="Instead of the queue that contract or routes say.", show_default=False)
    ] = "",
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send --args and --kwargs whatever the signature says.")
    ] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Publish a task: a valid sample, or what you give it. It is checked before anything is sent.

    A task with a contract gets a sample where you give nothing; one that is known by its signature needs its arguments.
    Without NAME, a terminal shows a list to choose from; a script sends the first contract.

    \b
    Examples:
      devctl send-task resize --wait
      devctl send-task resize --set width=200 --set tags.0=red
      devctl send-task resize --args '["a.png", 200]'
      devctl send-task resize --json-file pictures.jsonl
      devctl send-task tasks.other --args '[1, 2]' --queue other

    \b
    Exit codes: 0 published, or published before (and done, with --wait), 1 it
    failed, no worker can run it, its queue is full, or its id belongs
    to another task, 2 nothing was published: a wrong payload or option,
    3 no result in time
    """
    from devctl.broker.sending import Event, Published, send
    from devctl.contracts.document import read
    from devctl.contracts.request import Request, messages
    from devctl.contracts.signatures import Signatures, consumed
    from devctl.logs import own
    from devctl.ui import sent as ui
    from devctl.ui.choose import choose
    from devctl.ui.console import write_json

    _check(json_file=json_file, count=count, seed=seed, timeout=timeout)
    workbench = options.open_workbench(runtime, stack)
    tasks = workbench.tasks
    completion.remember(workbench)
    if name and isinstance(tasks, Signatures) and tasks.find(name) is None:
        tasks = tasks.living(living(workbench))  # what only a worker knows
    bare = not (name or json_file or assignments or args or kwargs or as_json or count > 1 or seed is not None)
    if bare and sys.stdin.isatty() and sys.stderr.isatty():
        entries = [(one.name, f"queue {one.queue or 'not sure'}") for one in tasks]
        fits = 0 < len(entries) < shutil.get_terminal_size().lines - 2
        name = choose("Which task?", entries) if fits else ""
    documents = read(json_file) if json_file else None
    asked = Request(name, documents, assignments or (), count, seed, args, kwargs, queue, unchecked)
    made = messages(tasks, replace(asked, consumed=lambda task: consumed(task, living(workbench))))
    _check_wait(workbench, made, wait=wait)
    options.announce(workbench, as_json=as_json)
    option = workbench.settings.option
    services = workbench.owners
    warn = ui.Warnings(services, option, lambda owner: _state(workbench, owner))

    def hear(event: Event) -> None:
        if isinstance(event, Published):
            new = (one for one in event.messages if one.task_id not in event.repeated)
            own.note(workbench.settings, "task.published", map(_noted, new), seconds_ago=event.seconds)
        warn(event)
        progress(event)

    started = time.time()
    with ui.Progress(several=len(made) > 1) as progress:
        sent = send(
            workbench.broker,
            made,
            hear,
            wait_seconds=timeout if wait else None,
            nobody_could=lambda queue: _nobody_could(workbench, services.get(queue)),
        )
    if as_json:
        write_json(ui.document(sent))
    else:
        ran = None
        if wait and len(made) == 1 and sent.results[0].state in {"succeeded", "failed"}:
            nodes = [one.node for one in sent.consumers if made[0].queue in one.queues]
            ran = _ran(workbench, nodes, made[0].task_id, started)
        ui.show(sent, ran, waited=wait)
        ui.hint(sent, waited=wait, option=option, traced=not workbench.broker.life.why_none)
    if sent.failed or (wait and sent.in_vain):
        raise typer.Exit(errors.PROBLEM)
    if sent.timed_out:
        raise typer.Exit(errors.TIMED_OUT)


def _check_wait(workbench: Workbench, made: Sequence[Message], *, wait: bool) -> None:
    """Say before anything is sent that there will be no result to wait for."""
    if not wait:
        return
    if any(one.ignore_result for one in made):
        raise UsageError(
            f"{made[0].task} stores no result to wait for", hint="leave out --wait; devctl logs shows it run"
        )
    if why := workbench.broker.why_no_results:
        raise UsageError(f"no result to wait for: {why}", hint="leave out --wait; devctl logs shows it run")


def _noted(message: Message) -> dict[str, object]:
    """What `devctl logs` shows of a message that was sent."""
    told = {"task": message.task, "queue": message.queue, "task_id": message.task_id}
    return told | ({"correlation_id": id_} if (id_ := message.headers.get("x_correlation_id")) else {})


def _check(*, json_file: str, count: int, seed: int | None, timeout: float) -> None:
    if json_file and (count != 1 or seed is not None):
        raise UsageError("--count and --seed make samples, --json-file brings its own", hint="take one of them")
    if not timeout >= 0:  # so that NaN is refused, too
        raise UsageError(f"--timeout {timeout} must be more than 0", hint="--timeout 30")


def _nobody_could(workbench: Workbench, owner: str | None) -> bool:
    """Whether the service that would consume has no replica that lives: then waiting is for nothing."""
    if owner is None:
        return False
    dead = {"exited", "paused"}
    if any(one.service == owner and one.state not in dead for one in workbench.runtime.status()):
        return False
    return owner not in workbench.runtime.in_terminal()


def _state(workbench: Workbench, owner: str) -> Owner:
    """What the service is that would consume, and does not say so."""
    if owner in workbench.runtime.in_terminal():
        return "in a terminal"
    from devctl.stack.port import WELL

    checked = workbench.stack.services[owner].healthcheck is not None
    replicas = [one for one in workbench.runtime.status() if one.service == owner]
    looping = [r for r in replicas if r.state == "restarting" or (checked and r.restarts and r.health not in WELL)]
    return "crashing" if replicas and looping == replicas else "running"


def _ran(workbench: Workbench, nodes: Sequence[str], task_id: str, started: float):  # type: ignore[no-untyped-def]  # its type is dear to import
    from devctl.broker.nodes import service_of
    from devctl.logs.ran import find

    try:
        replicas = workbench.runtime.status()
        found = {service_of(node, replicas, workbench.stack.services) for node in nodes}
        services = [one for one in workbench.stack.services if one in found]
        return find(workbench.runtime, services, task_id, started - 1) if services else None
    except errors.DevctlError:  # the times are an extra: the result is what was asked for
        return None
