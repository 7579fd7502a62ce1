"""How it looks: one line while it goes on, one row for each fault, and below them why, and what ends it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO

from devctl.chaos.theirs import events
from devctl.chaos.theirs.ledger import Worker
from devctl.chaos.theirs.report import Report
from devctl.chaos.theirs.row import Outcome
from devctl.stack.report import Building, Step
from devctl.ui.console import sign
from devctl.ui.paint import Paint
from devctl.ui.units import milliseconds

WIDTH = 80
TITLE_WIDTH = 27
_KINDS = ("lost", "died", "late", "twice")
_WIDTH = len(" ".join(_KINDS))
_MEANING = (
    ("lost", "done by nobody, and in no queue"),
    ("died", "failed with WorkerLostError: nobody runs them again"),
    ("late", "in the broker still, held for a worker that is gone, or taken by nobody"),
    ("twice", "their body began again"),
)


class Progress:
    """Shows the events, as its `emit`: one line redrawn on a terminal, one line per row in a pipe."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._paint = Paint(self._stream)
        self._head = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.Staging(celeriac):
                self._head = "a second copy, with celeriac" if celeriac else "a copy of the stack"
                self._say(f"{self._head}, gone afterwards")
            case Building(services):
                self._draw(f"{self._head}  building {', '.join(services)}")
            case Step(service, phase):
                self._draw(f"{self._head}  {service} {phase}")
            case events.Ready(seconds):
                self._say(f"it runs; the task takes {milliseconds(seconds)}")
            case events.Playing(number, of, title):
                self._head = f"{number:>{len(str(of))}}/{of}  {title}"
                self._draw(self._head)
            case events.Doing(what):
                self._draw(f"{self._head}  {what}" if what not in self._head else self._head)
            case events.RowDone(outcome):
                if not self._live:
                    self._say(f"{_mark(outcome, self._stream)} {self._head}")
            case _:
                pass

    def _say(self, line: str) -> None:
        self._stream.write(("\r\x1b[K" if self._live else "") + line + "\n")
        self._stream.flush()

    def _draw(self, line: str) -> None:
        if self._live:
            columns = shutil.get_terminal_size((WIDTH, 24)).columns
            self._stream.write("\r\x1b[K" + self._paint(line[: columns - 1], "dim"))
            self._stream.flush()


def show(report: Report, stream: IO[str] | None = None) -> None:
    """The report, at most 80 columns wide."""
    stream = stream or sys.stdout
    for line in lines(report, Paint(stream)):
        stream.write("".join(sign(c, stream) if ord(c) > 127 else c for c in line).rstrip() + "\n")
    stream.flush()


def lines(report: Report, paint: Paint) -> Iterator[str]:
    """The report line by line."""
    sides = [report.own, *([report.celeriac] if report.celeriac else [])]
    if report.celeriac:
        yield paint(f"{'':<{TITLE_WIDTH + 9}}{'as it is':^{_WIDTH}}   {'with celeriac':^{_WIDTH}}", "dim")
    columns = "   ".join(" ".join(_KINDS) for _ in sides)
    yield paint(f"  {'fault':<{TITLE_WIDTH}} {'tasks':>6} {columns}", "dim")
    for row in zip(*(side.outcomes for side in sides), strict=True):
        yield _line(row, paint)
        for outcome in row:
            if outcome.note:
                yield from _wrapped(outcome.note, 4)
    yield ""
    shown = [kind for kind in _KINDS if any(_count(one, kind) for side in sides for one in side.outcomes)]
    for kind, meaning in _MEANING:
        if kind in shown:
            yield paint(f"{kind:<6} {meaning}", "dim")
    yield from _why(report, paint)
    if shown:
        yield ""
    yield from _conditions(report, paint)
    yield from _next(report, paint)


def _line(both: Sequence[Outcome], paint: Paint) -> str:
    first = both[0]
    symbol = paint("–", "dim") if first.why_not else paint("✔", "green") if first.good else paint("✘", "red")
    start = f"{symbol} {first.title:<{TITLE_WIDTH}}"
    tasks = f"{first.published:>6,}" if not first.why_not else " " * 6
    return f"{start} {tasks} " + "   ".join(_figures(one, paint) for one in both)


def _figures(one: Outcome, paint: Paint) -> str:
    if one.why_not:
        return paint(f"{textwrap.shorten(one.why_not, _WIDTH, placeholder='…'):<{_WIDTH}}", "dim")
    parts = []
    for kind in _KINDS:
        count = _count(one, kind)
        text = f"{count:>{len(kind)}}"
        parts.append(paint(text, "yellow" if kind == "twice" else "red") if count else text)
    return " ".join(parts)


def _count(one: Outcome, kind: str) -> int:
    return one.held + one.queued if kind == "late" else int(getattr(one, kind))


def _mark(one: Outcome, stream: IO[str]) -> str:
    return sign("–" if one.why_not else "✔" if one.good else "✘", stream)


def _why(report: Report, paint: Paint) -> Iterator[str]:
    if report.own.reasons:
        yield ""
    for reason in report.own.reasons:
        if reason.setting == "broker_transport":
            yield paint(f"Celery's transport for {reason.value}", "bold")
        else:
            whose = "set by the app" if reason.given else "Celery's default"
            yield f"{paint(f'{reason.setting} = {reason.value}', 'bold')}  {paint(f'({whose})', 'dim')}"
        yield from _wrapped(f"{reason.effect} ({', '.join(reason.rows)})", 2)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _conditions(report: Report, paint: Paint) -> Iterator[str]:
    worker = report.own.worker
    text = (
        f"{report.call.task} in a copy of the stack: one worker, {_pool(worker)} × {worker.concurrency}, Celery "
        f"{worker.celery}; the task takes {milliseconds(report.own.seconds)}. Counted by id: Celery's signals in the "
        "workers, written to files beside the copy, and a look into the broker."
    )
    if report.celeriac:
        other = report.celeriac.worker
        text += f" With celeriac: {other.concurrency} threads, Celery {other.celery}, leases of 5 s in place of 60."
    for line in textwrap.wrap(text, WIDTH):
        yield paint(line, "dim")


def _pool(worker: Worker) -> str:
    return "threads of celeriac" if worker.celeriac else worker.pool


def _next(report: Report, paint: Paint) -> Iterator[str]:
    if report.own.worker.celeriac or (report.own.good and not any(one.twice for one in report.own.outcomes)):
        return
    if report.own.worker.transport != "redis":
        yield f"→ {paint('task_acks_late = True, task_reject_on_worker_lost = True', 'cyan')}   celeriac needs Redis"
        return
    yield f"→ {paint('celeriac.install(app)', 'cyan')}   the one line that ends it: pip install celeriac"
    if report.celeriac is None:
        command = f"devctl chaos{report.call.options} --with-celeriac"
        yield f"→ {paint(command, 'cyan')}"
