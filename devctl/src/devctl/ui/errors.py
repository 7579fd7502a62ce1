"""How a problem looks: the problem, its details, the next step. Without Rich: errors must be quick and never fail."""

from __future__ import annotations

import sys

from devctl.errors import DevctlError
from devctl.ui.console import sign, write_json
from devctl.ui.paint import Paint


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
    paint = Paint(sys.stderr)
    lines = [f"{paint(sign('✘', sys.stderr), 'red')} {problem.problem}"]
    lines += [f"  {paint(line, 'dim')}" for line in problem.details]
    lines += [f"{sign('→', sys.stderr)} {line}" for line in problem.hint.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")
