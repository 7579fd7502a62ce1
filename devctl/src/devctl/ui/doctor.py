"""How findings look: by subject, the worst first; what is well in one line.

A sign, what it is about, how it is; then where that stands, and what to do about it.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

from devctl.discovery.model import Found
from devctl.discovery.summary import document
from devctl.doctor.check import Check
from devctl.ui.console import out, sign, write_json

_SIGNS = {"problem": ("✘", "red"), "warning": ("!", "yellow"), "skipped": ("–", "dim"), "ok": ("✔", "green")}
_COUNTED = {"ok": "ok", "warning": "warning", "problem": "problem", "skipped": "not checked"}
_ORDER = tuple(_SIGNS)
_SHOWN = 3
"""Findings of one kind, and places of one finding."""


def show(checks: Sequence[Check], *, everything: bool = False) -> None:
    """Write the findings, those that need something last of all counted."""
    from rich.text import Text

    console = out()
    for subject, found in _subjects(checks):
        shown = [one for one in found if everything or one.status != "ok"]
        if not shown:
            continue
        if subject:
            console.print(Text(subject, style="bold"))
        width = max(len(one.name) for one in shown) + 2
        for alike in _alike(_together(shown)):
            kept = alike if everything else alike[:_SHOWN]
            for one in kept:
                _finding(one, width, last=one is kept[-1])
            if len(kept) < len(alike):
                _line("", "", width, f"and {len(alike) - len(kept)} more of these: devctl doctor --all")
    fine = list(dict.fromkeys(one.name for one in checks if one.status == "ok"))
    if fine and not everything:
        _line(sign(_SIGNS["ok"][0]), "", 0, f"in order: {', '.join(fine)}", colour="green")
    console.print(Text(summary(checks)))


def show_json(checks: Sequence[Check], found: Found | None) -> None:
    """Write the findings as devctl.doctor/1, with what was found of the services."""
    write_json(
        {
            "schema": "devctl.doctor/1",
            "healthy": not any(check.status == "problem" for check in checks),
            "found": None if found is None else document(found),
            "checks": [
                {
                    "name": check.name,
                    "status": check.status,
                    "message": check.message,
                    "fix": check.fix,
                    "place": check.place,
                    "subject": check.subject,
                }
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


def _subjects(checks: Sequence[Check]) -> list[tuple[str, list[Check]]]:
    """The findings of each subject, the worst first."""
    names = list(dict.fromkeys(one.subject for one in checks))
    return [
        (name, sorted((one for one in checks if one.subject == name), key=lambda one: _ORDER.index(one.status)))
        for name in names
    ]


def _together(checks: Iterable[Check]) -> list[Check]:
    """Findings that say the same of several places as one."""
    found: dict[tuple[str, str, str, str], list[Check]] = {}
    for one in checks:
        found.setdefault((one.name, one.status, one.message, one.fix), []).append(one)
    return [
        replace(ones[0], place=", ".join(dict.fromkeys(one.place for one in ones if one.place)))
        for ones in found.values()
    ]


def _alike(checks: Iterable[Check]) -> list[list[Check]]:
    """Findings of one kind together: the same name, the same way out."""
    found: dict[tuple[str, str, str], list[Check]] = {}
    for one in checks:
        found.setdefault((one.name, one.status, one.fix), []).append(one)
    return list(found.values())


def _finding(check: Check, width: int, *, last: bool) -> None:
    symbol, colour = _SIGNS[check.status]
    _line(sign(symbol), check.name, width, check.message, colour=colour, dim=check.status == "skipped")
    if check.place:
        _line("", "", width, check.place, dim=True)
    if check.fix and last:
        _line("", "", width, check.fix, lead=f"{sign('→')} ")


def _line(
    symbol: str, name: str, width: int, text: str, *, lead: str = "", colour: str = "", dim: bool = False
) -> None:
    """One line with its margin, folded where the terminal ends."""
    from rich.text import Text

    gutter = max(len(sign(one)) for one, _ in _SIGNS.values()) + 1
    margin = gutter + width
    first, *more = _wrapped(text, margin + len(lead))
    line = Text(symbol.ljust(gutter), style=colour)
    line.append(f"{name.ljust(width)}{lead}{first}", style="dim" if dim else "default")
    out().print(line)
    for rest in more:
        out().print(Text(" " * (margin + len(lead)) + rest, style="dim" if dim else ""))


def _wrapped(text: str, margin: int) -> list[str]:
    """The text in lines beside its margin on a terminal; one line in a pipe."""
    if not sys.stdout.isatty():
        return [text]
    room = max(30, shutil.get_terminal_size().columns - margin)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
