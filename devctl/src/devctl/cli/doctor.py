"""devctl doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devctl import errors
from devctl.cli import options

if TYPE_CHECKING:
    from devctl.discovery.model import Found
    from devctl.doctor.facts import Facts
    from devctl.workbench import Workbench


def doctor(
    everything: Annotated[bool, typer.Option("--all", help="Also what is well, and every place of a finding.")] = False,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Find what is wrong, and say what to do.

    Looks at the Celery apps of this repository, at its Compose file, at what runs and at the machine, and changes
    nothing. Settings that lose or double work are found in the code, without importing it; where a worker runs, it is
    asked. Exit code 1 when something is broken or would lose tasks, 0 when there are only warnings.

    \b
    Examples:
      devctl doctor
      devctl doctor --all
      devctl doctor --json | jq '.checks[] | select(.status == "problem")'
    """
    from devctl.cli.stacks import others
    from devctl.discovery.summary import found_out, open_questions
    from devctl.doctor.checks import CHECKS, PATIENCE, SUBJECTS
    from devctl.doctor.facts import Facts
    from devctl.doctor.run import examine
    from devctl.ui import doctor as ui
    from devctl.ui import found as ui_found
    from devctl.ui.stacks import remind

    workbench = options.open_workbench(runtime, stack, forgiving=True)  # what is wrong in .env is a finding
    facts = Facts(workbench)
    checks = examine(facts, CHECKS, subjects=SUBJECTS, patience=PATIENCE)
    found = _found(workbench, facts)
    if as_json:
        ui.show_json(checks, found)
    else:
        if found is not None:
            where = workbench.settings.compose_file.name
            ui_found.show(found_out(found, everything=everything), open_questions(found), where=where)
        ui.show(checks, everything=everything)
        remind(others(workbench))
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(errors.PROBLEM)


def _found(workbench: Workbench, facts: Facts) -> Found | None:
    """What each service is; the living workers are asked for what no file says. None where the file does not read."""
    from devctl.broker.nodes import service_of
    from devctl.discovery.live import answered

    try:
        found = workbench.found
    except errors.DevctlError:  # a check says it
        return None
    if not found.having("unknown") or not facts.started:
        return found
    try:
        nodes = [one.node for one in facts.consumers]
    except errors.DevctlError:
        return found
    return answered(found, {node: service_of(node, facts.replicas, found.services) for node in nodes})
