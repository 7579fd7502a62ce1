"""devctl queues: what waits; pause, resume"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from devctl.cli import options
from devctl.errors import UsageError

if TYPE_CHECKING:
    from devctl.broker.overview import QueueState
    from devctl.workbench import Workbench

queues = typer.Typer(
    name="queues",
    help="""What waits in the queues, and who consumes it.

    Messages wait, are claimed (taken by a worker, not yet done), delayed (not due yet) or, with celeriac, dead.

    Shows every queue that a worker consumes, a task is sent to, or a message lies in. With celeriac, claims of a worker
    that died go back to their queues by themselves; where no worker is left to do it, `devctl restore` does.

    \b
    Examples:
      devctl queues
      devctl queues --watch
      devctl queues --json | jq '.queues[] | select(.waiting > 1000)'
      devctl queues pause images

    \b
    Exit codes: 0 shown, 1 the broker does not answer, 2 usage
    """,
    invoke_without_command=True,
    add_completion=False,  # the app has it
    rich_markup_mode=None,  # as the app's
    context_settings={"help_option_names": ["-h", "--help"]},
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The queue.")]


@queues.callback()
def show(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second; Ctrl-C ends it.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    if context.invoked_subcommand is not None:
        if watch or as_json or runtime or stack:
            raise UsageError("options come after the command", hint="devctl queues pause NAME --stack k3f9")
        return
    from devctl.broker.nodes import service_of
    from devctl.broker.overview import overview
    from devctl.broker.unknown import unknown
    from devctl.ui import queues as ui
    from devctl.ui.console import write_json
    from devctl.ui.services import show_next

    workbench = options.open_workbench(runtime, stack)
    tasks = workbench.tasks
    options.announce(workbench, as_json=as_json)
    names = list(dict.fromkeys([*(one.queue for one in tasks if one.queue), *workbench.owners]))
    option = workbench.settings.option

    def look(stream: IO[str]) -> None:
        broker, replicas = workbench.broker, workbench.runtime.status()
        consumers, paused = broker.consumers(), broker.paused()
        consumed = sorted({queue for one in consumers for queue in one.queues})
        depths = broker.queues(list(dict.fromkeys([*names, *consumed, *sorted(paused)])))
        found = overview(
            depths,
            consumers,
            [(one.name, one.queue) for one in tasks if one.queue],
            workbench.owners.items(),
            {one.service for one in replicas if one.state == "running"},
            lambda node: service_of(node, replicas, workbench.stack.services),
            paused,
            unknown(broker, depths, consumers),
        )
        expired = broker.expired()
        if as_json:
            write_json(ui.document(found, workbench.runtime.name, expired, broker.blind))
            return
        talk = stream if watch else sys.stderr
        ui.show(found, stream, letters=broker.celeriac)
        ui.show_notes(found, broker.blind, letters=broker.celeriac, stream=talk)
        if not found:
            talk.write("no queue is known to this broker, and no worker answers\n")
        if expired:
            ui.show_expired(expired, option, talk)
        show_next(_steps(found, workbench, paused), talk)

    if watch:
        from devctl.ui.live import again

        again(look)
    look(sys.stdout)


def _steps(found: Sequence[QueueState], workbench: Workbench, paused: Iterable[str]) -> list[tuple[str, str]]:
    """Commands for what is wrong, and what for."""
    option, steps = workbench.settings.option, []
    if missing := list(dict.fromkeys(one.owner for one in found if one.neglected and one.owner and not one.owner_runs)):
        steps.append((f"devctl up {' '.join(missing)}{option}", "to have them consumed"))
    if strange := [one for one in found if any(task.waiting for task in one.unknown)]:
        steps.append((f"devctl tasks{option}", "which worker knows which task"))
        theirs = dict.fromkeys(service for queue in strange for service in queue.services)
        if old := [service for service in theirs if service in workbench.stack.services]:
            steps.append((f"devctl up --build {' '.join(old)}{option}", "if its code is too old"))
    if any(one.depth.dead for one in found):
        steps.append((f"devctl dead-letters list{option}", "what died, and why"))
    steps += [(f"devctl queues resume {name}{option}", "have it consumed again") for name in sorted(paused)]
    return steps


@queues.command("pause")
def pause(
    name: NameArgument,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Have no worker take anything more from a queue.

    It still accepts messages, and what a worker has taken is done. With celeriac a set in Redis says it, which every
    worker obeys from its next claim on, also one that starts later. Stock workers are told to leave the queue, by
    Celery's own remote control; one that starts later consumes it.

    \b
    Examples:
      devctl queues pause images

    \b
    Exit codes: 0 done, 1 a worker did not obey, or the broker does not
    answer, 2 usage: no such queue
    """
    _change("pause", name, runtime, stack, as_json=as_json)


@queues.command("resume")
def resume(
    name: NameArgument,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Have a paused queue consumed again.

    Stock workers: those of the service that consumes it by the files.

    \b
    Examples:
      devctl queues resume images

    \b
    Exit codes: 0 done, 1 a worker did not obey, or the broker does not
    answer, 2 usage: no such queue
    """
    _change("resume", name, runtime, stack, as_json=as_json)


def _change(
    what: Literal["pause", "resume"], name: str, runtime: str | None, stack: str | None, *, as_json: bool
) -> None:
    from devctl.dash.actions import Actions
    from devctl.ui import queues as ui
    from devctl.ui.console import write_json
    from devctl.ui.services import show_next

    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    actions = Actions(workbench.dashboard)
    said = actions.pause(name) if what == "pause" else actions.resume(name)
    if as_json:
        write_json({"schema": "devctl.queues-pause/1", "queue": name, "paused": what == "pause"})
        return
    ui.show_done(said)
    if what == "pause":
        show_next([(f"devctl queues resume {name}{workbench.settings.option}", "have it consumed again")], sys.stderr)
