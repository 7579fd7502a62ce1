"""How the demo tells its story: one numbered step after the other, a spinner on a terminal while one runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from devctl.demo.journey import Journey, Note, Span
from devctl.ui.console import sign, talk
from devctl.ui.paint import Colour, Paint
from devctl.ui.units import milliseconds

if TYPE_CHECKING:
    from rich.status import Status

_LABEL = len("3 follow   ")
_BAR_LEAST, _BAR_MOST = 8, 30
_TIME = len("+100.0ms")


class Story:
    """Writes each step's outcome to stdout; what is going on stands beneath it, on stderr, as long as it lasts."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self.paint = Paint(self._stream)
        self._number = 0
        self._head = ""
        self._status: Status | None = None

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[None]:
        """Begin the next step; the spinner goes when the block ends, before its outcome is written."""
        self._number += 1
        self._head = f"{self._number} {name}".ljust(_LABEL)
        if not (self._stream.isatty() and sys.stderr.isatty()):
            yield
            return
        self._status = talk().status("", spinner="dots")
        self.doing(doing)
        try:
            with self._status:
                yield
        finally:
            self._status = None

    def doing(self, what: str) -> None:
        """Say what the running step does now."""
        if self._status:
            from rich.text import Text

            shown = f"{self._head}{what}"[: talk().width - 4]
            self._status.update(Text(shown, style="dim", no_wrap=True, overflow="ellipsis"))

    def done(self, *parts: str, symbol: str = "✔") -> None:
        """A line of the step's outcome; the step's name stands before its first."""
        colour: Colour = "green" if symbol == "✔" else "yellow"
        between = f" {sign('·', self._stream)} "
        self._write(f"{self._head}{self.paint(sign(symbol, self._stream), colour)} {between.join(parts)}")
        self._head = " " * _LABEL

    def journey(self, journey: Journey, notes: Mapping[str, str], width: int) -> None:
        """The way of the request, a row a task, its waiting and its run drawn to scale."""
        self._write(self._head.rstrip())
        for row in rows(journey, notes, width, self.paint, self._stream):
            self._write("  " + row)

    def next_steps(self, steps: Sequence[tuple[str, str]]) -> None:
        """Commands to try."""
        width = max(len(command) for command, _ in steps)
        self._write("")
        for command, why in steps:
            self._write(f"{sign('→', self._stream)} {self.paint(command.ljust(width), 'cyan')}   {why}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def rows(journey: Journey, notes: Mapping[str, str], width: int, paint: Paint, stream: IO[str]) -> list[str]:
    """One row for the first publication and one for each task: service, how long what took, when, a bar to scale."""
    if not journey.spans:
        return []
    first = journey.spans[0]
    publisher = next((note.service for note in journey.notes if note.service and note.service != first.service), "")
    published = Span(publisher, first.task, "", first.published, first.published, first.published)
    cells = [(published, f"publish {_short(first.task)}", "")]
    cells += [(span, _took(span, stream), notes.get(span.service, "")) for span in journey.spans]
    names = max(len(span.service) for span, _, _ in cells) + 2
    said = max(len(text) for _, text, _ in cells) + 2
    room = width - 2 - names - said - _TIME - 2 - max(len(note) for _, _, note in cells)
    scale = max(_BAR_LEAST, min(_BAR_MOST, room))
    lines = []
    for span, text, note in cells:
        when = f"+{milliseconds(span.started)}" if span.started is not None else ""
        bar = _bar(span, journey.seconds, scale, paint, stream)
        what = f"{paint(span.service.ljust(names), 'cyan')}{text.ljust(said)}{paint(when.rjust(_TIME), 'dim')}"
        lines.append(f"{what} {bar} {note}".rstrip())
    return lines


def remark(note: Note) -> str:
    """What another event says, in a few words: `EMAIL to c…1 delivered`."""
    kind, recipient = note.fields.get("notification_type", ""), note.fields.get("recipient", "")
    return " ".join(filter(None, [str(kind), f"to {recipient}" if recipient else "", note.event.rpartition(".")[2]]))


def _took(span: Span, stream: IO[str]) -> str:
    if span.started is None or span.ended is None:
        return f"{_short(span.task)}: {span.state}"
    run = f"run {milliseconds(span.ended - span.started)}"
    if span.published is None:
        return run
    return f"wait {milliseconds(span.started - span.published)} {sign('·', stream)} {run}"


def _bar(span: Span, total: float, width: int, paint: Paint, stream: IO[str]) -> str:
    """Waiting is light, running is solid; at least one cell, so that it can be seen."""
    if span.published is None or span.started is None or span.ended is None or total <= 0:
        return " " * width
    begin = min(width - 1, int(span.published / total * width))
    turn = min(width - 1, max(begin, int(span.started / total * width)))
    end = min(width, max(turn + 1, round(span.ended / total * width)))
    light = "░" if sign("░", stream) == "░" else "-"
    bar = paint(light * (turn - begin), "dim") + paint(sign("█", stream) * (end - turn), "green")
    return " " * begin + bar + " " * (width - end)


def _short(task: str) -> str:
    return task.rpartition(".")[2]
