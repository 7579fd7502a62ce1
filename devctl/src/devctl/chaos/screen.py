"""How a chaos run looks: one line while it goes on, one row for each scenario, and what was not tested."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from devctl.chaos import events
from devctl.chaos.catalogue import SOAK
from devctl.chaos.curve import Spread
from devctl.chaos.observation import Soak
from devctl.chaos.report import Report
from devctl.chaos.scenario import Scenario
from devctl.chaos.verdict import Row
from devctl.stack.report import Step
from devctl.ui.console import sign, write_json
from devctl.ui.paint import Colour, Paint
from devctl.ui.units import duration, milliseconds

WIDTH = 80
WIDE = 108
"""From here on there is room for what users saw."""
TITLE_WIDTH = 26
NAME_WIDTH = 16
MENTION_SECONDS = 60.0
LEVELS = "▁▂▃▄▅▆▇█"
_SIGNS: Mapping[str, tuple[str, Colour]] = {"held": ("✔", "green"), "broken": ("✘", "red"), "not run": ("–", "dim")}


class Progress:
    """Shows the events of a run, as its `emit`: one line redrawn on a terminal, one line per row in a pipe."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._paint = Paint(self._stream)
        self._lock = threading.Lock()  # the load is told of by a thread of its own
        self._head = self._doing = self._count = ""
        self._soaking = False
        self._mentioned = time.monotonic()

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
                    if self._soaking:
                        self._count, self._soaking = "", False
                    self._doing = what
                case events.Tick(accepted, finished):
                    self._count = f"{accepted:,} accepted, {finished:,} done"
                case Step(service, phase):
                    self._doing, self._count = f"{service} {phase}", ""
                case events.Soaking(kills, of_kills, done, of_tasks, rate, left):
                    self._doing = f"{kills} of {of_kills} kills  {done:,} of {of_tasks:,} done"
                    self._count = f"{rate:,.0f}/s  {duration(left)} left"
                    self._soaking = True
                    self._mention()
                case events.RowDone(row):
                    self._say(row)
                    self._head, self._soaking = "", False
                case events.PuttingBack():
                    self._head, self._doing, self._count = "stopping the chaos stack", "", ""
                case _:
                    return
            head = "" if self._soaking else self._head
            self._draw("  ".join(part for part in (head, self._doing, self._count) if part))

    def _mention(self) -> None:
        """In a pipe, how far a long row is, once a minute."""
        now = time.monotonic()
        if not self._live and now - self._mentioned >= MENTION_SECONDS:
            self._mentioned = now
            self._stream.write(f"{sign('●', self._stream)} {self._doing}  {self._count}\n")
            self._stream.flush()

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
    widths = _Widths(max((len(f"{max(row.accepted, row.done):,}") for row in report.rows), default=0))
    head = f"  {'fault':<{widths.title}}  fired {'accepted':>{widths.accepted}} {'done':>{widths.done}}"
    head += "   dead lost doubled back in"
    yield paint(head + ("  users saw" if wide else ""), "dim")
    for row in report.rows:
        yield _line(row, widths, paint, columns)
        if row.verdict == "broken":
            for reason in row.reasons:
                yield from textwrap.wrap(reason, columns - 4, initial_indent="    ", subsequent_indent="    ")
        elif row.verdict == "not run" and row.accepted:
            yield from textwrap.wrap(row.why, columns - 4, initial_indent="    ", subsequent_indent="    ")
    for row in report.rows:
        if row.soak:
            yield ""
            yield from _soak(row, row.soak, paint, columns)
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


class _Widths:
    """Of the columns: a title gives way to figures of a million and more."""

    def __init__(self, figure: int) -> None:
        self.accepted, self.done = max(8, figure), max(7, figure)
        self.title = TITLE_WIDTH - (self.accepted - 8) - (self.done - 7)


def _line(row: Row, widths: _Widths, paint: Paint, columns: int) -> str:
    symbol, colour = _SIGNS[row.verdict]
    start = f"{paint(symbol, colour)} {row.title[: widths.title]:<{widths.title}}"
    if row.verdict == "not run" and not row.accepted:
        return f"{start} {paint(textwrap.shorten(row.why, columns - TITLE_WIDTH - 3, placeholder=' …'), 'dim')}"
    bad = [f"{row.lost:>4,}", f"{row.doubled:>7,}"]
    bad = [paint(text, "red") if text.strip() != "0" else text for text in bad]
    back = "-" if row.recovery_seconds is None else duration(row.recovery_seconds)
    line = (
        f"{start} {row.fired:>6,} {row.accepted:>{widths.accepted},} {row.done:>{widths.done},} {row.dead:>6,}"
        f" {' '.join(bad)} {back:>7}"
    )
    return line + (f"  {paint(users_saw(row), 'dim')}" if columns >= WIDE and users_saw(row) else "")


def _soak(row: Row, soak: Soak, paint: Paint, columns: int) -> Iterator[str]:
    """What a soak shows beside its row: how often, how fast, and the memory as curves from 0 up."""
    of_redis = f"{soak.redis_kills:,} of Redis in {duration(row.seconds)}"
    yield f"{soak.kills:,} kills of a worker, {of_redis} · {soak.rate:,.0f} tasks/s"
    again = f"{soak.bodies:,} runs of a body, {row.repeated:,} tasks ran more than once"
    yield f"{again} · longest pause {duration(soak.pause_seconds)}"
    if not any(curve.values for curve in soak.curves):
        return
    yield ""
    yield paint(f"  {'memory, MB':<{NAME_WIDTH}} {'first tenth':^20} {'last tenth':^20} over time", "dim")
    yield paint(f"  {'':<{NAME_WIDTH}} {'min   med   max':>20} {'min   med   max':>20}", "dim")
    for curve in soak.curves:
        symbol, colour = _SIGNS[{True: "held", False: "broken", None: "not run"}[curve.flat]]
        start = f" {curve.name[:NAME_WIDTH]:<{NAME_WIDTH}} {_spread(curve.first)} {_spread(curve.last)} "
        yield paint(symbol, colour) + start + sparkline(curve.points(columns - len(start) - 1))
    if any(curve.flat is None for curve in soak.curves):
        yield paint("  too short to tell whether memory is flat", "dim")


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return f"{'-':>20}"
    return f"{spread.lowest / 1e6:>8.1f}{spread.median / 1e6:>6.1f}{spread.highest / 1e6:>6.1f}"


def sparkline(values: Sequence[int]) -> str:
    """One character a value, as high as the value is against the highest one."""
    highest = max(values, default=0) or 1
    return "".join(LEVELS[min(len(LEVELS) - 1, value * len(LEVELS) // highest)] for value in values)


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
    if report.interrupted:
        return
    if not broken and [row.name for row in report.rows] == [SOAK]:
        yield f"→ {paint('devctl chaos all', 'cyan')}   every other row"
        return
    if broken and not report.stock:
        yield f"→ {paint(f'devctl chaos {broken[0]}', 'cyan')}   that row alone"
    elif report.size == "quick":
        yield f"→ {paint(f'devctl chaos all{stock}', 'cyan')}   every row, with longer faults"
    elif not report.stock:
        yield f"→ {paint('devctl chaos all --stock', 'cyan')}   the same with stock Celery"


def show_logs(report: Report, folder: Path, stream: IO[str] | None = None) -> None:
    """Where the logs of broken rows are."""
    if report.broken:
        (stream or sys.stdout).write(f"logs of the broken rows: {near(folder)}\n")


def near(path: Path) -> str:
    """A path as seen from here, where it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def list_scenarios(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    """Number, name, title; those of the quick selection are marked, and those that `all` does not play."""
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
        played = "quick" if one.in_quick else "     " if one.in_all else "alone"
        sys.stdout.write(
            f"{one.number:>2}  {paint(f'{one.name:<14}', 'cyan')}  {paint(played, 'dim')}  {one.title['full']}\n"
        )
    sys.stdout.flush()
