"""How a problem looks: the problem, its details, the next step. Without Rich: errors must be quick and never fail."""

from __future__ import annotations

import os
import sys

from devctl.errors import DevctlError
from devctl.ui.console import sign, write_json


def show(problem: DevctlError, *, as_json: bool) -> None:
    """Write a problem to stderr, or as devctl.error/1 to stdout."""
    if as_json:
        write_json(
            {
                "schema": "devctl.error/1",
                "problem": problem.problem,
                "hint": problem.hint,
                "details": list(problem.details),
                "exit_code": problem.exit_code,
            }
        )
        return
    red, dim, reset = _colours()
    lines = [f"{red}{sign('✘', sys.stderr)}{reset} {problem.problem}"]
    lines += [f"  {dim}{line}{reset}" for line in problem.details]
    lines += [f"{sign('→', sys.stderr)} {line}" for line in problem.hint.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")


def _colours() -> tuple[str, str, str]:
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
        return "\x1b[31m", "\x1b[2m", "\x1b[0m"
    return "", "", ""
