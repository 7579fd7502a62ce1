"""devctl new: task, service, endpoint, project"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devctl.cli import completion, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devctl.new.changes import Changes
    from devctl.new.repository import Repository
    from devctl.workbench import Workbench

new = typer.Typer(
    name="new",
    help="""Write the code of a new task, service, endpoint or project.

    What is there already stays as it is: the same command again changes nothing.

    \b
    Examples:
      devctl new task send_mail --queue mails
      devctl new service mails --consumes send_mail
      devctl new service web --http
      devctl new endpoint /api/mails --in web --publishes send_mail
      devctl new project ~/our-shop
    """,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,  # as the app's
    context_settings={"help_option_names": ["-h", "--help"]},
)


@new.callback()
def bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(f"{context.get_help()}\n")


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the diff; write nothing.")]


@new.command("task")
def task(
    name: Annotated[str, typer.Argument(metavar="NAME", help="send_mail; it travels as tasks.send_mail.")],
    queue: Annotated[str, typer.Option("--queue", metavar="QUEUE", help="Its queue.", show_default=False)],
    service: Annotated[
        str,
        typer.Option(
            "--in",
            metavar="SERVICE",
            help="The service that runs it; without it, none does yet.",
            show_default=False,
            autocompletion=options.complete_services,
        ),
    ] = "",
    dry_run: DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """A contract: payload, result, queue.

    With --in also its body in a service, and a test.

    \b
    Examples:
      devctl new task send_mail --queue mails
      devctl new task refund --queue payments --in worker
      devctl new task refund --queue payments --in worker --dry-run

    \b
    Exit codes: 0 done, or all there already; 1 this repository is laid out in
    another way; 2 usage: nothing was written
    """
    from devctl.new import names
    from devctl.new import task as subject

    task_name, queue_name = names.TaskName.of(name), names.queue(queue)
    repository = _repository(options.open_workbench(None, ""))
    subject.add(repository, task_name, queue_name, service)
    schemas = repository.contracts.schemas.relative_to(repository.root).as_posix()
    steps = [(f"edit {schemas}", "the fields of its models")]
    if service:
        steps.append((f"devctl up {service}", "it runs the task"))
        steps.append((f"devctl send-task {task_name.short} --wait", "a sample, and its result"))
    else:
        steps.append((f"devctl new service NAME --consumes {task_name.short}", "a service that runs it"))
    _finish(repository.changes, steps, dry_run=dry_run, as_json=as_json)


@new.command("service")
def service(
    name: Annotated[str, typer.Argument(metavar="NAME", help="mails: its folder, package and Compose service.")],
    consumes: Annotated[
        str,
        typer.Option(
            "--consumes", metavar="TASK", help="It runs this task.", show_default=False, autocompletion=completion.tasks
        ),
    ] = "",
    http: Annotated[
        bool,
        typer.Option("--http", help="An HTTP API; with --consumes: probes and metrics over HTTP."),
    ] = False,
    dry_run: DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """A service: a consumer or an HTTP API.

    Its folder with code, lock and a first test, and its block in the Compose file.

    \b
    Examples:
      devctl new service mails --consumes send_mail
      devctl new service web --http

    \b
    Exit codes: 0 done, or all there already; 1 this repository is laid out in
    another way; 2 usage: nothing was written
    """
    from devctl.new import names
    from devctl.new import service as subject

    consumed = names.TaskName.of(consumes) if consumes else None
    repository = _repository(options.open_workbench(None, ""))
    home = subject.add(repository, name, consumed, http=http)
    if subject.locked(repository, home):
        steps = [("make setup", "install it")]
    else:
        steps = [("make lock", "write its lock, over the network, and install it")]
    steps.append((f"devctl up {name}", "start it, and what it needs"))
    if consumed:
        steps.append((f"devctl send-task {consumed.short} --wait", "a sample, and its result"))
    else:
        steps.append(("devctl new endpoint --help", "a first route"))
    _finish(repository.changes, steps, dry_run=dry_run, as_json=as_json)


@new.command("endpoint")
def endpoint(
    path: Annotated[str, typer.Argument(metavar="PATH", help="/api/mails")],
    service: Annotated[
        str,
        typer.Option(
            "--in",
            metavar="SERVICE",
            help="The HTTP API.",
            show_default=False,
            autocompletion=options.complete_services,
        ),
    ],
    publishes: Annotated[
        str,
        typer.Option(
            "--publishes",
            metavar="TASK",
            help="What it publishes.",
            show_default=False,
            autocompletion=completion.tasks,
        ),
    ],
    dry_run: DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Two routes of an API, for one task.

    POST PATH takes the fields of its payload and an Idempotency-Key, publishes it, and answers 202. GET PATH/ID says
    how far it is.

    \b
    Examples:
      devctl new endpoint /api/mails --in web --publishes send_mail

    \b
    Exit codes: 0 done, or all there already; 1 this repository is laid out in
    another way; 2 usage: nothing was written
    """
    from devctl.contracts.sample import samples
    from devctl.new import endpoint as subject
    from devctl.new import names

    task_name, path = names.TaskName.of(publishes), names.path(path)
    workbench = options.open_workbench(None, "")
    repository = _repository(workbench)
    subject.add(
        repository, path, service, task_name, lambda task: next(samples(workbench.catalog.get(task), seed=1)) or {}
    )
    steps = [("make test", "with a new test that asks it"), (f"devctl up {service}", "try it: /docs")]
    _finish(repository.changes, steps, dry_run=dry_run, as_json=as_json)


@new.command("project")
def project(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet, or is empty.")],
    dry_run: DryRunOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """A repository of your own.

    The stack with its examples, celeriac, devctl, and what builds and tests them.

    \b
    Examples:
      devctl new project ~/our-shop
      cd ~/our-shop && make demo

    \b
    Exit codes: 0 done, or all there already; 2 usage: nothing was written
    """
    from devctl.new import project as subject
    from devctl.ui import new as ui
    from devctl.ui.console import write_json

    made = subject.Project.of(folder.expanduser().absolute())
    steps = [(f"cd {folder} && make demo", "its first run"), ("make test", "all of it is green")]
    found = made.new()
    if found and not dry_run:
        made.write()
    if as_json:
        write_json(ui.project_document(found, steps, dry_run=dry_run))
    else:
        ui.show_project(found, folder, steps, dry_run=dry_run)


def _repository(workbench: Workbench) -> Repository:
    from devctl.new.repository import Repository

    return Repository(workbench.settings, workbench.stack)


def _finish(changes: Changes, steps: Sequence[tuple[str, str]], *, dry_run: bool, as_json: bool) -> None:
    from devctl.ui import new as ui
    from devctl.ui.console import write_json

    found, diff = list(changes), changes.diff()
    if not dry_run:
        changes.apply()
    if as_json:
        write_json(ui.document(found, diff, steps, dry_run=dry_run))
    else:
        ui.show(found, diff, steps, dry_run=dry_run)
