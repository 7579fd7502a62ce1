"""How the stacks of a checkout look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Any

from devctl.stack.overview import StackState
from devctl.ui.paint import Paint
from devctl.ui.services import show_next

_HEADS = ("STACK", "RUNTIME", "RUNS")


def show(stacks: Sequence[StackState], stream: IO[str]) -> None:
    """A line each, and how to end the isolated ones."""
    paint = Paint(stream)
    rows = [_HEADS, *((one.name or "(own)", one.runtime or "-", _runs(one)) for one in stacks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number:
            cells[0] = paint(cells[0], "cyan")
        line = "  ".join(cells).rstrip()
        stream.write((line if number else paint(line, "dim")) + "\n")
    stream.flush()
    if isolated := [one.name for one in stacks if one.name]:
        steps = [(f"devctl down --stack {isolated[0]}", "remove this one, with its data")]
        steps += [("devctl down --all-stacks", "stop them all")] if len(stacks) > 1 else []
        show_next(steps)


def remind(names: Sequence[str], stream: IO[str] | None = None) -> None:
    """One line where there are other stacks."""
    if names:
        what = "1 other stack" if len(names) == 1 else f"{len(names)} other stacks"
        stream = stream or sys.stderr
        stream.write(Paint(stream)(f"{what} of this checkout: {', '.join(names)}   (devctl stacks)", "dim") + "\n")
        stream.flush()


def document(stacks: Sequence[StackState]) -> dict[str, Any]:
    """devctl.stacks/1."""
    return {
        "schema": "devctl.stacks/1",
        "stacks": [
            {"name": one.name, "runtime": one.runtime, "services": list(one.services), "problem": one.problem}
            for one in stacks
        ],
    }


def _runs(stack: StackState) -> str:
    return stack.problem or ", ".join(stack.services) or "nothing"
