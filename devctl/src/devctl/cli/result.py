"""devctl result"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options

if TYPE_CHECKING:
    from devctl.broker.port import Broker


def result(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="A task's id, or the beginning of it.")],
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What became of a task: its state, its result or its error.

    For as long as they are kept; else who has the task now.

    \b
    Examples:
      devctl result 0190b3c2
      devctl result 0190b3c2 --json | jq .result

    \b
    Exit codes: 0 it has succeeded, or goes on, 1 it failed, or nothing is known
    of it, 2 usage
    """
    from devctl.broker.lookup import look_up
    from devctl.ui import result as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(runtime, stack)
    options.announce(workbench, as_json=as_json)
    known = look_up(workbench.broker, task_id)
    option = workbench.settings.option
    if known.nothing:
        raise errors.DevctlError(
            f"nothing is known of a task {task_id}",
            details=[_why_nothing(workbench.broker, known.why_no_result)],
            hint=f"devctl logs --id {task_id}{option}     what the services say of it",
        )
    if as_json:
        write_json(ui.document(known))
    else:
        ui.show(known, option)
    if known.result.state == "failed" or known.letter is not None:
        raise typer.Exit(errors.PROBLEM)


def _why_nothing(broker: Broker, why_no_result: str) -> str:
    if why_no_result:
        return f"{why_no_result}; and no worker says that it has it now"
    if broker.celeriac:
        return "it was never published here, or Redis no longer keeps its result (CELERY_RESULT_EXPIRES)"
    hidden = "it waits in a queue of RabbitMQ, which lets nobody look, " if broker.url.startswith("amqp") else "it "
    return (
        f"{hidden}was never published here, stores no result (ignore_result), or its result is too old (result_expires)"
    )
