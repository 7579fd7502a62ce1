"""How the demo tells its story: one numbered step after the other, a spinner while one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from devctl.demo.journey import Journey, Note, Span
from devctl.ui.console import out, sign

if TYPE_CHECKING:
    from rich.status import Status

_LABEL = 10
_BAR_LEAST = 8


class Story:
    """Prints each step's outcome as a line; on a terminal the running one has a spinner beneath."""

    def __init__(self) -> None:
        self._console = out()
        self._number = 0
        self._status: Status | None = None

    def step(self, name: str, doing: str) -> AbstractContextManager[object]:
        """Begin a numbered step; the spinner says what is being done until the block ends."""
        self._number += 1
        self._name = name
        self._first = True
        if not self._console.is_terminal:
            return nullcontext()
        self._status = self._console.status(self._head() + f"[dim]{doing}[/dim]", spinner="dots")
        return self._status

    def doing(self, what: str) -> None:
        """Say what the running step does now."""
        if self._status and self._console.is_terminal:
            self._status.update(self._head() + f"[dim]{_plain(what)}[/dim]")

    def done(self, text: str, *, symbol: str = "✔", style: str = "green") -> None:
        """A line of the step's outcome, markup allowed; the step's number stands before its first line."""
        mark = f"[{style}]{sign(symbol)}[/{style}] " if symbol else ""
        self._console.print(f"{self._head()}{mark}{text}")
        self._first = False

    def journey(self, journey: Journey, notes: Mapping[str, str]) -> None:
        """The way of the request, a row a task, its waiting and its run drawn to scale."""
        self._console.print(f"{self._number} {self._name}")
        for row in rows(journey, notes, self._console.width):
            self._console.print("  " + row)

    def next_steps(self, steps: Sequence[tuple[str, str]]) -> None:
        """Three commands to try."""
        self._console.print()
        width = max(len(command) for command, _ in steps)
        for command, why in steps:
            self._console.print(f"{sign('→')} [cyan]{command.ljust(width)}[/cyan]   {why}")

    def _head(self) -> str:
        return f"{self._number} {self._name}".ljust(_LABEL) if getattr(self, "_first", True) else " " * _LABEL


def rows(journey: Journey, notes: Mapping[str, str], width: int) -> list[str]:
    """One row for the first publication and one for each task: service, what took how long, when, a bar to scale."""
    if not journey.spans:
        return []
    first = journey.spans[0]
    publisher = next((note.service for note in journey.notes if note.service and note.service != first.service), "")
    cells = [(publisher, f"publish {_short(first.task)}", first.published, first.published, first.published, "")]
    for span in journey.spans:
        cells.append((span.service, _took(span), span.started, span.published, span.ended, notes.get(span.service, "")))
    names = max(len(cell[0]) for cell in cells) + 2
    said = max(len(cell[1]) for cell in cells) + 2
    room = width - 2 - names - said - 10
    scale = max(_BAR_LEAST, min(30, room - max(len(cell[5]) for cell in cells)))
    lines = []
    for service, text, at, begun, ended, note in cells:
        when = f"+{milliseconds(at)}" if at is not None else ""
        bar = _bar(begun, at, ended, journey.seconds, scale)
        lines.append(
            f"[cyan]{service.ljust(names)}[/cyan]{text.ljust(said)}[dim]{when.rjust(8)}[/dim] {bar} {note}".rstrip()
        )
    return lines


def _took(span: Span) -> str:
    if span.started is None or span.ended is None:
        return f"{_short(span.task)}: {span.state}"
    wait = f"wait {milliseconds(span.started - span.published)} {sign('·')} " if span.published is not None else ""
    return f"{wait}run {milliseconds(span.ended - span.started)}"


def _bar(published: float | None, started: float | None, ended: float | None, total: float, width: int) -> str:
    """Waiting is light, running is solid; each at least a cell, so that it can be seen."""
    if published is None or started is None or ended is None or total <= 0:
        return " " * width
    begin = min(width - 1, int(published / total * width))
    turn = min(width - 1, max(begin, int(started / total * width)))
    end = min(width, max(turn + 1, round(ended / total * width)))
    light, solid = ("░", sign("█")) if sign("█") == "█" else ("-", "#")
    return f"{' ' * begin}[dim]{light * (turn - begin)}[/dim][green]{solid * (end - turn)}[/green]{' ' * (width - end)}"


def remark(note: Note) -> str:
    """What another event says, in a few words: `EMAIL to c…1 delivered`."""
    kind = str(note.fields.get("notification_type", ""))
    recipient = str(note.fields.get("recipient", ""))
    verb = note.event.rpartition(".")[2]
    return _plain(" ".join(filter(None, [kind, f"to {recipient}" if recipient else "", verb])))


def milliseconds(seconds: float) -> str:
    """`0.8ms`, `12.4ms`, `240ms`, `1.3s`."""
    if seconds >= 1:
        return f"{seconds:.1f}s"
    return f"{seconds * 1000:.1f}ms" if seconds < 0.1 else f"{seconds * 1000:.0f}ms"


def report(document: Mapping[str, Any]) -> None:
    """The whole story as one JSON document."""
    from devctl.ui.console import write_json

    write_json(document)


def _short(task: str) -> str:
    return task.rpartition(".")[2]


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
