"""How a chaos run looks: one line while it goes on, one row for each scenario, and what was not tested."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from devctl.chaos import events
from devctl.chaos.report import Report
from devctl.chaos.scenario import Scenario
from devctl.chaos.verdict import Row
from devctl.stack.start import Step
from devctl.ui.console import sign, write_json
from devctl.ui.paint import Colour, Paint
from devctl.ui.units import duration, milliseconds

WIDTH = 80
WIDE = 108
"""From here on there is room for what users saw."""
TITLE_WIDTH = 26
_SIGNS: Mapping[str, tuple[str, Colour]] = {"held": ("✔", "green"), "broken": ("✘", "red"), "not run": ("–", "dim")}


class Progress:
    """Shows the events of a run, as its `emit`: one line redrawn on a terminal, one line per row in a pipe."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._paint = Paint(self._stream)
        self._lock = threading.Lock()  # the load is told of by a thread of its own
        self._head = self._doing = self._count = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        with self._lock:
            match event:
                case events.Playing(number, of, title):
                    self._head, self._doing, self._count = f"{number:>{len(str(of))}}/{of}  {title}", "", ""
                case events.Doing(what):
                    self._doing = what
                case events.Tick(accepted, finished):
                    self._count = f"{accepted:,} accepted, {finished:,} done"
                case Step(service, phase):
                    self._doing, self._count = f"{service} {phase}", ""
                case events.RowDone(row):
                    self._say(row)
                    self._head = ""
                case events.PuttingBack():
                    self._head, self._doing, self._count = "stopping the chaos stack", "", ""
                case _:
                    return
            self._draw("  ".join(part for part in (self._head, self._doing, self._count) if part))

    def _say(self, row: Row) -> None:
        if not self._live:
            symbol, _ = _SIGNS[row.verdict]
            why = f"  {row.why}" if row.why else ""
            self._stream.write(f"{sign(symbol, self._stream)} {self._head}  {duration(row.seconds)}{why}\n")
            self._stream.flush()

    def _draw(self, line: str) -> None:
        if self._live:
            columns = shutil.get_terminal_size((WIDTH, 24)).columns
            self._stream.write("\r\x1b[K" + self._paint(line[: columns - 1], "dim"))
            self._stream.flush()


def show(report: Report, others: Mapping[str, int], stream: IO[str] | None = None) -> None:
    """The report, as wide as the terminal allows."""
    stream = stream or sys.stdout
    columns = shutil.get_terminal_size((WIDTH, 24)).columns if stream.isatty() else WIDTH
    for line in lines(report, others, Paint(stream), columns):
        stream.write("".join(sign(c, stream) if ord(c) > 127 else c for c in line) + "\n")
    stream.flush()


def lines(report: Report, others: Mapping[str, int], paint: Paint, columns: int = WIDTH) -> Iterator[str]:
    """The report line by line."""
    wide = columns >= WIDE
    head = f"  {'fault':<{TITLE_WIDTH}}  fired accepted    done   dead lost doubled back in"
    yield paint(head + ("  users saw" if wide else ""), "dim")
    for row in report.rows:
        yield _line(row, paint, columns)
        if row.verdict == "broken":
            for reason in row.reasons:
                yield from textwrap.wrap(reason, columns - 4, initial_indent="    ", subsequent_indent="    ")
    if not wide and (noticed := [(row.title, saw) for row in report.rows if (saw := users_saw(row))]):
        yield ""
        yield paint("what users of the API saw", "dim")
        for title, saw in noticed:
            yield from textwrap.wrap(
                f"  {title:<{TITLE_WIDTH}} {saw}",
                columns,
                subsequent_indent=" " * (TITLE_WIDTH + 3),
                drop_whitespace=True,
            )
    yield ""
    yield from _tally(report, others, paint, columns)
    yield paint("not tested, here or by any row", "dim")
    for text in report.not_tested:
        yield from textwrap.wrap(text, columns, initial_indent="  ", subsequent_indent="    ")
    yield from _next(report, paint)


def _line(row: Row, paint: Paint, columns: int) -> str:
    symbol, colour = _SIGNS[row.verdict]
    start = f"{paint(symbol, colour)} {row.title[:TITLE_WIDTH]:<{TITLE_WIDTH}}"
    if row.verdict == "not run" and not row.accepted:
        return f"{start} {paint(textwrap.shorten(row.why, columns - TITLE_WIDTH - 3, placeholder=' …'), 'dim')}"
    bad = [f"{row.lost:>4,}", f"{row.doubled:>7,}"]
    bad = [paint(text, "red") if text.strip() != "0" else text for text in bad]
    back = "-" if row.recovery_seconds is None else duration(row.recovery_seconds)
    line = f"{start} {row.fired:>6,} {row.accepted:>8,} {row.done:>7,} {row.dead:>6,} {' '.join(bad)} {back:>7}"
    return line + (f"  {paint(users_saw(row), 'dim')}" if columns >= WIDE and users_saw(row) else "")


def users_saw(row: Row) -> str:
    """`503 ×12, no answer ×3, slowest 1.4s`; "" where nobody noticed anything."""
    errors = [f"{answer} ×{count:,}" for answer, count in sorted(row.answers.items()) if answer != "202"]
    slow = row.slowest_answer_seconds or 0.0
    return ", ".join([*errors, *([f"slowest {milliseconds(slow)}"] if errors or slow > 1 else [])])


def _tally(report: Report, others: Mapping[str, int], paint: Paint, columns: int) -> Iterator[str]:
    counts = report.tally
    text = " · ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in ("held", "broken", "not run"))
    name = "ours" if report.stock else "stock Celery"
    other = (
        f"{name} on the same rows: {others.get('held', 0)} held · {others.get('broken', 0)} broken" if others else ""
    )
    head = f"{'stock Celery: ' if report.stock else ''}{text} · {duration(report.seconds)}"
    together = bool(others) and len(head) + len(other) + 5 <= columns
    yield paint(head, "red" if report.broken else "green") + (f"     {other}" if together else "")
    if others and not together:
        yield other


def _next(report: Report, paint: Paint) -> Iterator[str]:
    broken = [row.name for row in report.rows if row.verdict == "broken"]
    stock = " --stock" if report.stock else ""
    if broken and not report.stock:
        yield f"→ {paint(f'devctl chaos {broken[0]}', 'cyan')}   that row alone"
    elif report.size == "quick":
        yield f"→ {paint(f'devctl chaos all{stock}', 'cyan')}   every row, with longer faults"
    elif not report.stock:
        yield f"→ {paint('devctl chaos all --stock', 'cyan')}   what stock Celery makes of it"


def show_logs(report: Report, folder: Path, stream: IO[str] | None = None) -> None:
    """Where the logs of broken rows are."""
    if report.broken:
        (stream or sys.stdout).write(f"logs of the broken rows: {near(folder)}\n")


def near(path: Path) -> str:
    """A path as seen from here, where it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def list_scenarios(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    """Number, name, title; those of the quick selection are marked."""
    if as_json:
        rows = [
            {
                "number": s.number,
                "name": s.name,
                "title": s.title["full"],
                "quick": s.in_quick,
                "needs": sorted(s.needs),
            }
            for s in scenarios
        ]
        write_json({"schema": "devctl.chaos-list/1", "scenarios": rows})
        return
    paint = Paint(sys.stdout)
    for one in scenarios:
        quick = paint("quick", "dim") if one.in_quick else "     "
        sys.stdout.write(f"{one.number:>2}  {paint(f'{one.name:<14}', 'cyan')}  {quick}  {one.title['full']}\n")
    sys.stdout.flush()
