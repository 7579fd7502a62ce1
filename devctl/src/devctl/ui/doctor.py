"""How findings look: a sign, what it is about, how it is; on the next line what to do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from devctl.doctor.check import Check
from devctl.ui.console import out, sign, write_json

_SIGNS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "problem": ("✘", "red"), "skipped": ("–", "dim")}
_COUNTED = {"ok": "ok", "warning": "warning", "problem": "problem", "skipped": "not checked"}


def show(checks: Sequence[Check]) -> None:
    """Write the findings, those that need something last of all counted."""
    from rich.text import Text

    console = out()
    signs = {status: sign(symbol) for status, (symbol, _) in _SIGNS.items()}
    gutter = max(len(text) for text in signs.values()) + 1
    names = max((len(check.name) for check in checks), default=0) + 2
    margin = gutter + names
    for check in checks:
        colour = _SIGNS[check.status][1]
        first, *more = _wrapped(check.message, margin)
        line = Text(signs[check.status].ljust(gutter), style=colour)
        line.append(check.name.ljust(names), style="default" if check.status != "skipped" else "dim")
        line.append(first, style="default" if check.status != "skipped" else "dim")
        console.print(line)
        for text in more:
            console.print(Text(" " * margin + text))
        if check.fix:
            arrow = sign("→")
            first, *more = _wrapped(check.fix, margin + len(arrow) + 1)
            console.print(Text(f"{' ' * margin}{arrow} {first}"))
            for text in more:
                console.print(Text(" " * (margin + len(arrow) + 1) + text))
    console.print(Text(summary(checks)))


def show_json(checks: Sequence[Check]) -> None:
    """Write the findings as devctl.doctor/1."""
    write_json(
        {
            "schema": "devctl.doctor/1",
            "healthy": not any(check.status == "problem" for check in checks),
            "checks": [
                {"name": check.name, "status": check.status, "message": check.message, "fix": check.fix}
                for check in checks
            ],
        }
    )


def summary(checks: Sequence[Check]) -> str:
    """`12 ok · 1 warning · 2 problems`."""
    dot = f" {sign('·')} "
    counts = {status: sum(check.status == status for check in checks) for status in _COUNTED}
    return dot.join(
        f"{count} {_COUNTED[status]}{'s' if count > 1 and status in ('warning', 'problem') else ''}"
        for status, count in counts.items()
        if count
    )


def _wrapped(text: str, margin: int) -> list[str]:
    """The text in lines beside its margin on a terminal; one line in a pipe."""
    if not sys.stdout.isatty():
        return [text]
    room = max(30, shutil.get_terminal_size().columns - margin)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
