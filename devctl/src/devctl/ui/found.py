"""How it looks what devctl found in a repository, and what it could not find out."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from devctl.discovery.summary import Line
from devctl.ui.console import out, sign

_MOST_NAMES = 24
"""Characters of the names of services before what is known of them; longer ones have a line of their own."""


def show(found: Sequence[Line], questions: Sequence[Line], *, where: str) -> None:
    """Write what was found, and below it what was not."""
    from rich.text import Text

    console = out()
    if found:
        console.print(Text(f"Found in {where}", style="bold"))
        subjects = max(len(one.subject) for one in found) + 2
        names = min(_MOST_NAMES, max(len(one.services) for one in found)) + 2
        for one in found:
            _line(one, subjects, names)
    if questions:
        console.print(Text("Not found out", style="bold"))
        subjects = max(len(one.subject) for one in questions) + 2
        for one in questions:
            _line(one, subjects, 0)
        if any(not one.general for one in questions):
            text = f"name them in {where}, x-devctl: {{broker: SERVICE, workers: [SERVICE]}}; devctl init begins it"
            first, *more = _wrapped(text, 4)
            console.print(Text(f"  {sign('→')} {first}"))
            for rest in more:
                console.print(Text(f"    {rest}"))


def _line(line: Line, subjects: int, names: int) -> None:
    from rich.text import Text

    dot = f" {sign('·')} "
    said = dot.join(text for text in (line.facts, line.source) if text)
    margin = 2 + subjects + names
    if not said or not names:
        margin, head, said = 2 + subjects, line.subject, line.services or said
        text = Text("  ").append(head.ljust(subjects), style="dim")
    else:
        text = Text("  ").append(line.subject.ljust(subjects), style="dim").append(line.services.ljust(names))
        if len(line.services) >= names:
            out().print(text)
            text = Text(" " * margin)
    first, *more = _wrapped(said, margin)
    out().print(text.append(first))
    for rest in more:
        out().print(Text(" " * margin + rest))


def _wrapped(text: str, margin: int) -> list[str]:
    """The text in lines beside its margin on a terminal; one line in a pipe."""
    if not sys.stdout.isatty():
        return [text]
    room = max(30, shutil.get_terminal_size().columns - margin)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
