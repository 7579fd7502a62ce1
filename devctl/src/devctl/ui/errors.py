"""How a problem looks: the problem, its details, the next step. Without Rich: errors must be quick and never fail."""

from __future__ import annotations

import shutil
import sys
import textwrap

from devctl.errors import DevctlError
from devctl.ui.console import sign, write_json
from devctl.ui.paint import Paint

_INDENT = 2
_NARROWEST = 40
_LOG = "│ "  # before a line that a service wrote


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
    first, *more = _folded(problem.problem)
    lines = [f"{paint(sign('✘', sys.stderr), 'red')} {first}", *(f"  {line}" for line in more)]
    lines += [f"  {paint(line, 'dim')}" for detail in problem.details for line in _folded(detail)]
    lines += [f"{sign('→', sys.stderr)} {line}" for line in problem.hint.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")


def _folded(text: str) -> list[str]:
    """Lines that a terminal does not break within a word; in a pipe the text as it is."""
    width = shutil.get_terminal_size().columns - _INDENT if sys.stderr.isatty() else 0
    if width < _NARROWEST or len(text) <= width or "\n" in text:
        return [text]
    mark = _LOG if text.startswith(_LOG) else ""
    rest = text.removeprefix(mark)
    folded = textwrap.wrap(rest, width - len(mark), replace_whitespace=False, break_on_hyphens=False)
    return [mark + line for line in folded]
