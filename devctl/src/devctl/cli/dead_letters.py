"""devctl dead-letters: list, show, replay, drop"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import completion, options
from devctl.errors import DevctlError, UsageError

if TYPE_CHECKING:
    from celeriac.dead_letter.letters import Letter
    from devctl.workbench import Workbench

# As celeriac.dead_letter.letters has them: importing it costs more than a TAB may take. A test holds them equal.
REASONS = ("permanent", "retries-exhausted", "poison", "undecodable", "unknown-task", "wrong-payload", "conflict")

dead_letters = typer.Typer(
    name="dead-letters",
    help="""Messages that nobody could run: list, replay or drop them.

    \b
    Examples:
      devctl dead-letters                       the same as `list`
      devctl dead-letters list --reason poison
      devctl dead-letters show 0190b3c2
      devctl dead-letters replay --task resize --newer-than 2h --dry-run
      devctl dead-letters drop --older-than 30d
    """,
    invoke_without_command=True,
    add_completion=False,  # the app has it
    rich_markup_mode=None,  # as the app's
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dead_letters.callback()
def bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


def _reasons(incomplete: str) -> list[str]:
    return [one for one in REASONS if one.startswith(incomplete)]


IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]…", help="Ids of dead letters, or the beginning of their tasks' ids.")
]
TaskOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="images.resize, or resize.",
        show_default=False,
        autocompletion=completion.tasks,
    ),
]
ReasonOption = Annotated[
    str, typer.Option(metavar="REASON", help="Only with this reason.", show_default=False, autocompletion=_reasons)
]
QueueOption = Annotated[str, typer.Option(metavar="QUEUE", help="Only of this queue.", show_default=False)]
OlderOption = Annotated[str, typer.Option(metavar="5m|2h|3d", help="Only older than this.", show_default=False)]
NewerOption = Annotated[str, typer.Option(metavar="5m|2h|3d", help="Only newer than this.", show_default=False)]


@dead_letters.command("list")
def list_(
    ids: IdsArgument = None,
    task: TaskOption = "",
    reason: ReasonOption = "",
    queue: QueueOption = "",
    older_than: OlderOption = "",
    newer_than: NewerOption = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help="At most N; 0 shows all.", show_default="20 on a terminal"),
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List dead letters: what failed, when and why.

    \b
    Reasons: permanent (an error that no retry heals), retries-exhausted,
    poison (killed its worker each time), undecodable, unknown-task,
    wrong-payload, conflict (its task id was used for another payload)

    \b
    Examples:
      devctl dead-letters list
      devctl dead-letters list --task resize --newer-than 2h
      devctl dead-letters list --json | jq -r '.letters[].error' | sort | uniq -c

    \b
    Exit codes: 0 shown, 1 the broker does not answer, 2 usage
    """
    from devctl.dead_letters import selection
    from devctl.ui import dead_letters as ui
    from devctl.ui.console import write_json

    asked = selection.wanted(
        ids=ids or (), task=task, reason=reason, queue=queue, older_than=older_than, newer_than=newer_than
    )
    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    if not workbench.broker.celeriac and not as_json:
        could = workbench.broker.url.startswith(("redis", "sentinel"))
        ui.show_that_nobody_keeps_them(workbench.broker.queues([]), workbench.settings.option, could=could)
        return
    letters, gone = selection.choose(workbench.broker, asked, newest_first=not oldest)
    if as_json:
        write_json(ui.document(islice(letters, limit or None)))
        return
    ui.show(letters, limit=limit, filtered=not asked.everything, gone=gone, option=workbench.settings.option)


@dead_letters.command("show")
def show(
    letter_id: Annotated[
        str, typer.Argument(metavar="ID", help="An id of the list, or the beginning of its task's id.")
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Only the message, byte for byte.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """One dead letter in full: what happened, and what it asked for.

    \b
    Examples:
      devctl dead-letters show images/1764165837123-0
      devctl dead-letters show 0190b3c2 --raw > message.json

    \b
    Exit codes: 0 shown, 1 it is not there, 2 usage
    """
    import sys

    from devctl.dead_letters import selection
    from devctl.ui import dead_letters as ui
    from devctl.ui.console import write_json

    if raw and as_json:
        raise UsageError("--raw and --json exclude each other", hint="--json has the message too, in base64")
    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json or raw)
    _need_celeriac(workbench)
    found, _ = selection.named(workbench.broker, [letter_id])
    letter = workbench.broker.letter(found[0].id) if found else None
    if letter is None:
        raise DevctlError(
            f"no dead letter {letter_id}: it was replayed or dropped, or never existed",
            hint="devctl dead-letters list" + workbench.settings.option,
        )
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(letter.raw or b"")
    elif as_json:
        write_json(ui.document([letter]))
    else:
        ui.show_one(letter, workbench.settings.option)


@dead_letters.command("replay")
def replay(
    ids: IdsArgument = None,
    task: TaskOption = "",
    reason: ReasonOption = "",
    queue: QueueOption = "",
    older_than: OlderOption = "",
    newer_than: NewerOption = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every dead letter; without it, name ids or filters.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check which ones would be accepted now.")] = False,
    rate: Annotated[
        str, typer.Option(metavar="N/s", help="At most so many in a time: 50/s, 10/m.", show_default="no limit")
    ] = "",
    most: Annotated[
        int | None, typer.Option("--max", "--limit", metavar="N", min=1, help="No more than N.", show_default=False)
    ] = None,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Put dead letters back into their queues.

    The oldest first, and only those that today's contracts accept: each becomes a message again under its task id and
    correlation id, with no retries and no starts counted. What is not valid today stays, with the reason. It is safe
    to repeat: a replayed letter is not replayed again.

    \b
    Examples:
      devctl dead-letters replay images/1764165837123-0
      devctl dead-letters replay --reason retries-exhausted --dry-run
      devctl dead-letters replay --queue images --rate 50/s --max 1000
      devctl dead-letters replay --all

    \b
    Exit codes: 0 done, 1 some are not valid today and stay, 2 usage: nothing
    was replayed, 130 Ctrl-C
    """
    from contextlib import nullcontext

    from devctl.dead_letters import replay as replaying
    from devctl.dead_letters import selection
    from devctl.logs import own
    from devctl.ui import dead_letters as ui
    from devctl.ui.console import write_json

    asked = selection.wanted(
        ids=ids or (), task=task, reason=reason, queue=queue, older_than=older_than, newer_than=newer_than
    )
    _say_which(asked.everything, everything, "replayed")
    plan = replaying.Plan(dry_run, replaying.rate(rate), most)
    workbench = options.open_workbench(runtime, stack)
    tasks = workbench.tasks
    options.announce(workbench, as_json=as_json)
    _need_celeriac(workbench)
    letters, gone = selection.choose(workbench.broker, asked)
    chosen = [one.id for one in letters]  # first: what dies again meanwhile is not to be replayed again and again
    with nullcontext(lambda event: None) if as_json else ui.Progress(dry_run=dry_run) as show:

        def hear(event: replaying.Event) -> None:
            if isinstance(event, replaying.Replayed) and not dry_run:
                own.note(workbench.settings, "task.replayed", [_noted(event.letter)], seconds_ago=event.seconds)
            show(event)

        report = replaying.run(chosen, plan, workbench.broker, tasks, hear)
    report.gone += gone
    if as_json:
        write_json(ui.replay_document(report))
    else:
        ui.show_replay(report, workbench.settings.option)
    if report.refused:
        raise typer.Exit(errors.PROBLEM)


@dead_letters.command("drop")
def drop(
    ids: IdsArgument = None,
    task: TaskOption = "",
    reason: ReasonOption = "",
    queue: QueueOption = "",
    older_than: OlderOption = "",
    newer_than: NewerOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter; asks first.")] = False,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    most: Annotated[
        int | None, typer.Option("--max", "--limit", metavar="N", min=1, help="No more than N.", show_default=False)
    ] = None,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Remove dead letters for ever.

    With --max, the oldest first.

    \b
    Examples:
      devctl dead-letters drop images/1764165837123-0
      devctl dead-letters drop --reason undecodable --older-than 30d
      devctl dead-letters drop --all --yes

    \b
    Exit codes: 0 done, 1 the broker does not answer, 2 usage: nothing was
    dropped
    """
    from devctl.dead_letters import selection
    from devctl.ui import dead_letters as ui
    from devctl.ui.console import write_json

    asked = selection.wanted(
        ids=ids or (), task=task, reason=reason, queue=queue, older_than=older_than, newer_than=newer_than
    )
    _say_which(asked.everything, everything, "dropped")
    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    _need_celeriac(workbench)
    letters, gone = selection.choose(workbench.broker, asked)
    if everything and not sure:
        letters = _ask_to_drop(list(letters))
    dropped = workbench.broker.drop([one.id for one in islice(letters, most)])
    if as_json:
        write_json(ui.drop_document(dropped, gone))
    else:
        ui.show_drop(dropped, gone)


def _need_celeriac(workbench: Workbench) -> None:
    if not workbench.broker.celeriac:
        raise DevctlError(
            "there are no dead letters here: stock Celery keeps none",
            hint=f"devctl dead-letters list{workbench.settings.option}     what becomes of tasks that fail",
        )


def _noted(letter: Letter) -> dict[str, object]:
    """What `devctl logs` shows of a dead letter that was replayed."""
    ids = {"task_id": letter.task_id, "correlation_id": letter.correlation_id, "letter": letter.id}
    return {"task": letter.task, "queue": letter.queue, "reason": letter.reason, **ids}


def _say_which(nothing_said: bool, everything: bool, done: str) -> None:
    if nothing_said and not everything:
        raise UsageError(
            f"nothing was {done}: say which ones",
            hint="ids, options such as --reason undecodable, or --all for all of them",
        )
    if everything and not nothing_said:
        raise UsageError(f"nothing was {done}: --all cannot be combined with ids or filters", hint="leave one out")


def _ask_to_drop(letters: list[Letter]) -> list[Letter]:
    """Ask on a terminal; in a pipe nobody can answer, so it is an error there."""
    import sys

    if not letters:
        return letters
    count = f"{len(letters):,} dead letter{'s' * (len(letters) != 1)}"
    if not sys.stdin.isatty():
        raise UsageError(f"nothing was dropped: nobody can be asked about {count}", hint="add --yes if you are sure")
    if not typer.confirm(f"Drop {count} for ever?", err=True):
        raise DevctlError("nothing was dropped")
    return letters
