"""How the demo tells its story: one numbered step after the other, a spinner on a terminal while one runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from devctl.bench.events import Draining
from devctl.bench.report import Report
from devctl.bench.report import document as bench_document
from devctl.demo import events
from devctl.demo.answer import Answer
from devctl.demo.journey import Journey, Note, Span
from devctl.demo.run import Report as Told
from devctl.demo.stage import NAME
from devctl.stack.model import Stack
from devctl.stack.port import BuildProgress
from devctl.stack.report import Step
from devctl.ui.console import sign, talk
from devctl.ui.paint import Paint
from devctl.ui.services import show_next
from devctl.ui.units import duration, milliseconds

if TYPE_CHECKING:
    from rich.status import Status

_LABEL = len("3 follow   ")
_BAR_LEAST, _BAR_MOST = 8, 30
_TIME = len("+100.0ms")


class Story:
    """Takes the demo's events: each step's outcome goes to stdout, what is going on to stderr, as long as it lasts."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._paint = Paint(self._stream)
        self._number = 0
        self._head = ""
        self._status: Status | None = None
        self._order = ""

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.Begun(step, doing):
                self._number += 1
                self._head = f"{self._number} {step}".ljust(_LABEL)
                self._spin(doing)
            case BuildProgress(service, text):
                self._doing(f"building {service or 'images'}: {text}")
            case Step(service, phase, _, detail):
                self._doing(f"{service} {phase}{f': {detail}' if detail else ''}")
            case Draining():
                self._doing(f"run {event.number} of {event.of}: {event.done:,} of {event.tasks:,} tasks")
            case events.Started(report):
                built = [f"images {duration(report.build_seconds)}"] if report.built else []
                self._done(*built, *(f"{one.service} {duration(one.seconds)}" for one in report.services))
            case events.Answered(request, answer):
                self._done(
                    f"{_accepted(request, answer, sign('→', self._stream))} in {milliseconds(answer.seconds)}",
                    _identity(answer, short=self._stream.isatty()),
                )
            case events.Followed(journey):
                self._order = journey.spans[0].task_id if journey.spans else ""
                self._journey(journey)
            case events.Measured(report):
                self._measured(report)
            case events.Stopped(seconds):
                self._done(f"everything stopped in {duration(seconds)}, nothing left behind")

    def end(self) -> None:
        """Take the spinner away, whatever happened."""
        if self._status:
            self._status.stop()
            self._status = None

    def next_steps(self, stack: Stack, *, kept: bool) -> None:
        """Commands to try."""
        self._write("")
        show_next(_next_steps(stack, self._order, kept=kept), self._stream)

    def _spin(self, doing: str) -> None:
        self.end()
        if self._stream.isatty() and sys.stderr.isatty():
            self._status = talk().status("", spinner="dots")
            self._doing(doing)
            self._status.start()

    def _doing(self, what: str) -> None:
        if self._status:
            from rich.text import Text

            shown = f"{self._head}{what}"[: talk().width - 4]
            self._status.update(Text(shown, style="dim", no_wrap=True, overflow="ellipsis"))

    def _done(self, *parts: str, good: bool = True) -> None:
        mark = self._paint(sign("✔", self._stream), "green") if good else self._paint("!", "yellow")
        indent = " " * (len(self._head) + 2)
        self._write(f"{self._head}{mark} " + f"\n{indent}".join(self._folded(parts, len(indent))))

    def _folded(self, parts: Sequence[str], indent: int) -> list[str]:
        """Lines that a terminal need not break: it would do so within a name."""
        between = f" {sign('·', self._stream)} "
        room = talk().width - indent if self._stream.isatty() else sys.maxsize
        lines = [parts[0]]
        for part in parts[1:]:
            if len(lines[-1] + between + part) <= room:
                lines[-1] += between + part
            else:
                lines.append(part)
        return lines

    def _journey(self, journey: Journey) -> None:
        notes = {note.service: remark(note) for note in journey.notes if note.event != "http.request"}
        self._write(self._head.rstrip())
        for row in rows(journey, notes, talk().width, self._paint, self._stream):
            self._write("  " + row)

    def _measured(self, report: Report) -> None:
        (point,) = report.points
        rate, audit = point.throughput, point.audit
        speed = "too short for a rate"
        if rate:
            spread = f"{rate.low:,.0f} {sign('–', self._stream)} {rate.high:,.0f}"
            speed = f"{rate.median:,.0f} tasks/s, {point.workers} workers ({spread})"
        self._done(
            speed,
            f"lost {audit.lost}",
            f"doubled {audit.duplicated}",
            good=audit.clean,
        )

    def _write(self, line: str) -> None:
        self.end()
        self._stream.write(line + "\n")
        self._stream.flush()


def _next_steps(stack: Stack, order: str, *, kept: bool) -> list[tuple[str, str]]:
    if kept:
        way = [(f"devctl trace {order[:8]} --stack {NAME}", "its way, to scale")] if order else []
        return [
            *way,
            (f"devctl logs --stack {NAME}", "what every service said"),
            (f"devctl send-task --wait --stack {NAME}", "publish a task"),
            (f"devctl down --stack {NAME}", "stop it and remove its data"),
        ]
    asked = stack.demo.get("service") or next(name for name in stack.services if name != stack.broker)
    return [
        (f"devctl up {asked}", "work on one service alone"),
        ("devctl send-task --wait", "publish a task"),
        ("devctl bench --workers 1,2,4", "measure it on your machine"),
    ]


def document(report: Told, runtime: str, *, kept: bool) -> dict[str, Any]:
    """devctl.demo/1."""
    return {
        "schema": "devctl.demo/1",
        "runtime": runtime,
        "start": {"seconds": round(report.start.seconds, 3), "services": [s.service for s in report.start.services]},
        "request": {
            **report.request.document(),
            **({} if report.answer.status is None else {"status": report.answer.status}),
            "seconds": round(report.answer.seconds, 6),
            "correlation_id": report.answer.correlation_id,
            "answer": report.answer.body,
        },
        "journey": [asdict(span) for span in report.journey.spans],
        "bench": bench_document(report.bench),
        "kept": kept,
    }


def rows(journey: Journey, notes: Mapping[str, str], width: int, paint: Paint, stream: IO[str]) -> list[str]:
    """One row for the first publication and one for each task: service, how long what took, when, a bar to scale."""
    if not journey.spans:
        return []
    first = journey.spans[0]
    publisher = next((note.service for note in journey.notes if note.service and note.service != first.service), "")
    published = Span(publisher, first.task, "", first.published, first.published, first.published)
    cells = [(published, f"publish {_short(first.task)}", "")] if first.published is not None else []
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
        if names + said + _TIME + 1 + scale + 1 + len(note) + 2 <= width:
            lines.append(f"{what} {bar} {note}".rstrip())
        else:
            lines += [f"{what} {bar}".rstrip(), *([" " * names + note] if note else [])]
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


def _accepted(sent: object, answer: Answer, arrow: str) -> str:
    status = "" if answer.status is None else f" {arrow} {answer.status}"
    return str(sent).replace("→", arrow) + status


def _identity(answer: Answer, *, short: bool) -> str:
    """A terminal has no room for all of it; `devctl logs --id` takes the first eight characters, too."""
    body = answer.body if isinstance(answer.body, dict) else {}
    name = next((key for key in body if key.endswith("_id")), "")
    return f"{name.removesuffix('_id')} {str(body[name])[: 8 if short else None]}" if name else answer.location


def _short(task: str) -> str:
    return task.rpartition(".")[2]
