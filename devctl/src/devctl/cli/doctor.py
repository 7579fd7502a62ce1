"""devctl doctor"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl import errors
from devctl.cli import options


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
    from devctl.doctor.checks import CHECKS, SUBJECTS
    from devctl.doctor.facts import Facts
    from devctl.doctor.run import examine
    from devctl.ui import doctor as ui
    from devctl.ui.stacks import remind

    workbench = options.open_workbench(runtime, stack, forgiving=True)  # what is wrong in .env is a finding
    checks = examine(Facts(workbench), CHECKS, subjects=SUBJECTS)
    if as_json:
        ui.show_json(checks)
    else:
        ui.show(checks, everything=everything)
        remind(others(workbench))
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(errors.PROBLEM)
