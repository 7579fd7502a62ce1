"""How a bench looks: one line while it runs, then the table with its plot, what to doubt, and what to try next."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import floor, log10
from pathlib import Path
from types import TracebackType
from typing import IO

from devctl.bench import events
from devctl.bench.counting.port import Way
from devctl.bench.report import Point, Report
from devctl.bench.statistics import LEVEL, coverage
from devctl.bench.warnings import Caution
from devctl.stack.port import BuildProgress
from devctl.stack.report import Building, Built, Step
from devctl.ui.console import sign
from devctl.ui.paint import Paint
from devctl.ui.progress import Progress as StartProgress
from devctl.ui.units import duration

WIDTH = 80
TOO_SHORT = "too short"
_WAYS: Mapping[Way, str] = {"ledger": "the workers' ledger", "events": "task events", "results": "results"}
_BAR = 15


class Progress:
    """Shows the events of a bench, as its `emit`: one line redrawn on a terminal, one line per run in a pipe."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._paint = Paint(self._stream)
        self._start: StartProgress | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_start()
        self._draw("")

    def __call__(self, event: events.Event) -> None:  # noqa: C901 -- one case for each event
        """Take in one event."""
        match event:
            case events.Planned(runs, seconds):
                self._say(f"bench    {runs} runs, about {_guess(seconds)}")
            case events.Preparing(service, workers, found, starting):
                self._say(_preparing(service, workers, found, starting))
                self._start = StartProgress([*starting, *([] if service in starting else [service])])
                self._start.__enter__()
            case Building() | BuildProgress() | Built() | Step():
                if self._start:
                    self._start(event)
            case events.Prepared():
                self._end_start()
            case events.Counting(way, why) if way != "ledger":
                self._say(f"counted  by {_WAYS[way]}: {why}")
            case events.WarmingUp(workers, tasks, left):
                self._draw(f"warming up, {_workers(workers)}, {tasks:,} tasks  {_left(left)}")
            case events.Publishing(number, of, workers, tasks, left):
                self._draw(f"{_head(number, of, workers)}  publishing {tasks:,} tasks  {_left(left)}")
            case events.Draining(number, of, workers, done, tasks, rate, left):
                bar = sign("█", self._stream) * round(_BAR * done / max(1, tasks))
                head = f"{_head(number, of, workers)}  {bar:<{_BAR}}"
                self._draw(f"{head}  {done:,}/{tasks:,}  {figure(rate)}/s  {_left(left)}")
            case events.RunDone(number, of, workers, _, _, rate, clean, left):
                speed = TOO_SHORT if rate is None else f"{figure(rate):>9} tasks/s"
                verdict = "" if clean else f"  {sign('✘', self._stream)} lost or doubled tasks"
                line = f"{_head(number, of, workers)}  {speed}{verdict}"
                self._draw(line)
                if not self._live:
                    self._say(f"{line}  {_left(left)}" if number < of else line)
            case events.PuttingBack():
                self._draw("putting everything back")
            case events.Sized() | events.Counting():
                pass

    def _end_start(self) -> None:
        if self._start:
            self._start.__exit__(None, None, None)
            self._start = None

    def _say(self, line: str) -> None:
        self._stream.write(("\r\x1b[K" if self._live else "") + line + "\n")
        self._stream.flush()

    def _draw(self, line: str) -> None:
        if self._live:
            columns = shutil.get_terminal_size((WIDTH, 24)).columns
            self._stream.write("\r\x1b[K" + self._paint(line[: columns - 1], "dim"))
            self._stream.flush()


def _preparing(service: str, workers: int, found: int, starting: Sequence[str]) -> str:
    if starting and not found:
        others = [name for name in starting if name != service]
        return f"starting {', '.join([*others, f'{service} x {workers}'])}, stopped again afterwards"
    return f"scaling  {service} from {found} to {workers}, back to {found} afterwards"


def _head(number: int, of: int, workers: int) -> str:
    return f"run {number:>{len(str(of))}}/{of}  {_workers(workers):>10}"


def _left(seconds: float) -> str:
    return f"{_guess(seconds)} left"


def _guess(seconds: float) -> str:
    """Whole seconds: no guess is better."""
    return duration(seconds) if seconds >= 59.5 else f"{seconds:.0f}s"


def _workers(count: int) -> str:
    return f"{count} worker" + ("" if count == 1 else "s")


def show(report: Report, stream: IO[str] | None = None) -> None:
    """The report, at most 80 columns wide."""
    stream = stream or sys.stdout
    for line in lines(report, Paint(stream)):
        stream.write("".join(sign(c, stream) if ord(c) > 127 else c for c in line) + "\n")
    stream.flush()


def lines(report: Report, paint: Paint) -> Iterator[str]:
    """The report line by line."""
    yield _conditions(report)
    yield ""
    yield from _table(report, paint)
    yield ""
    yield from _cautions(report.cautions, paint)
    yield _audit(report, paint)
    yield from _counted(report, paint)
    if limit := _limit(report.points[-1], report):
        yield limit
    yield f"saved      {paint(_near(report.saved), 'dim')}"
    yield from _next(report, paint)


def _conditions(report: Report) -> str:
    server = report.environment.server
    tasks = sorted({run.tasks for point in report.points for run in point.runs})
    count = f"{tasks[0]:,}" if len(tasks) == 1 else f"{tasks[0]:,}–{tasks[-1]:,}"
    parts = [
        report.environment.runtime,
        report.plan.task.label,
        f"{count} tasks a run",
        f"{report.plan.repeats} runs each",
        f"{report.environment.machine.cpus} CPUs",
        f"{server.product} {server.version}",
    ]
    text = " · ".join(parts)
    return text if len(text) <= WIDTH else " · ".join(parts[:-1])


def _table(report: Report, paint: Paint) -> Iterator[str]:
    level = min(LEVEL, coverage(report.plan.repeats))
    several = len(report.points) > 1
    spans = [f"{figure(one.low)} – {figure(one.high)}" if (one := p.throughput) else "–" for p in report.points]
    interval = f"{level:.0%} interval"
    width = max(len(interval), *map(len, spans))
    head = f"workers  {'tasks/s':>9}  {interval:<{width}}"
    yield paint((head + ("  speed-up  efficiency" if several else "")).rstrip(), "dim")
    top = max((point.throughput.median for point in report.points if point.throughput), default=1.0)
    for number, (point, span) in enumerate(zip(report.points, spans, strict=True)):
        median = figure(point.throughput.median) if point.throughput else TOO_SHORT
        row = f"{point.workers:<7}  {paint(f'{median:>9}', 'bold')}  {span:<{width}}"
        if several and point.throughput:
            used = 7 + 2 + 9 + 2 + width + 2 + 8 + 2 + 10 + 2
            bar = "█" * round((WIDTH - used) * point.throughput.median / top)
            row += f"  {_growth(point, first=number == 0)}  {paint(bar, 'cyan')}"
        yield row.rstrip()
    if several:
        base = _workers(report.points[0].workers)
        yield paint(f"speed-up: over {base}, within each round; the median of these ratios", "dim")


def _growth(point: Point, *, first: bool) -> str:
    if not first and point.speed_up is None:
        return f"{'–':>8}  {'–':>10}"
    speed = point.speed_up.median if point.speed_up else 1.0
    share = 1.0 if point.efficiency is None else point.efficiency
    return f"{f'{speed:.2f}×':>8}  {f'{share:.0%}':>10}"


def _cautions(cautions: Sequence[Caution], paint: Paint) -> Iterator[str]:
    """Each kind once, with the points it is about, and each advice once: ten points must not bring thirty lines."""
    kinds: dict[str, list[Caution]] = {}
    for caution in cautions:
        kinds.setdefault(caution.code, []).append(caution)
    advices: dict[str, list[list[Caution]]] = {}
    for same in kinds.values():
        advices.setdefault(same[0].advice, []).append(same)
    for advice, group in advices.items():
        for same in group:
            yield f"{paint('!', 'yellow')} {_about(same)}"
        yield paint(f"  {advice}", "dim")


def _about(same: Sequence[Caution]) -> str:
    worst, others = same[-1], [str(one.workers) for one in same[:-1]]
    says_it_itself = worst.workers is None or worst.code == "oversubscribed"
    where = "" if says_it_itself else f"{_workers(worst.workers or 0)}: "
    return f"{where}{worst.message}" + (f" (also {', '.join(others)})" if others else "")


def _audit(report: Report, paint: Paint) -> str:
    audit = report.audit
    if audit.clean:
        once = " once each" if report.counted.proves_once else ""
        doubled = {"ledger": " · doubled 0", "events": " · seen twice 0", "results": ""}[report.counted.way]
        return (
            f"{paint('✔', 'green')} audit    {audit.published:,} published = {audit.executed:,} done{once}"
            f" · lost 0{doubled}"
        )
    unproved = f" · unknown {audit.unproved:,}" if audit.unproved else ""
    stray = f" · never published {audit.unknown:,}" if audit.unknown else ""
    return (
        f"{paint('✘', 'red')} audit    {audit.published:,} published, {audit.executed:,} done"
        f" · lost {audit.lost:,} · doubled {audit.duplicated:,}{unproved}{stray}"
    )


def _counted(report: Report, paint: Paint) -> Iterator[str]:
    """What the way of counting cannot tell; nothing where it tells all."""
    match report.counted.way:
        case "events":
            yield "counted    by task events, which slow a no-op down by 42%, one of 10 ms by 8%"
            yield f"           {paint('proved: none is lost. Not proved: none ran twice, for an event', 'dim')}"
            yield f"           {paint('can get lost, and a worker can die before it sends one', 'dim')}"
        case "results":
            yield "counted    by results"
            yield f"           {paint('proved: none is lost. Not proved: none ran twice, that is one result', 'dim')}"
        case "ledger":
            pass


def _limit(point: Point, report: Report) -> str:
    """What was used up; what each part used, of what it can use."""
    if point.load is None or point.limit is None:
        return ""
    load, room = point.load, point.room
    workers = f"workers {load.workers:.2f} of {_cpus(room.workers)}"
    broker = f"broker {load.broker:.2f} of {_cpus(room.broker)}"
    text = {
        "machine": f"CPU: {load.machine:.2f} of {_cpus(room.machine)} busy"
        f" (workers {load.workers:.2f}, broker {load.broker:.2f}, others {load.others:.2f})",
        "workers": f"worker CPU: {load.workers:.2f} of {_cpus(room.workers)} ({broker})",
        "broker": f"broker CPU: {load.broker:.2f} of {_cpus(room.broker)} ({workers})",
        "round-trips": f"round trips to the broker, not CPU: {workers}, {broker}",
        "waiting": f"waiting, not CPU: {workers}, {broker}",
    }[point.limit]
    return f"bottleneck {text}"


def _cpus(count: float) -> str:
    return f"{count:g}"


def _next(report: Report, paint: Paint) -> Iterator[str]:
    option = report.again or (f" --task {report.plan.task.label}" if report.plan.task.kind != "noop" else "")
    option += f" --service {report.plan.service}" if report.plan.service else ""
    if len(report.points) == 1:
        most = max(4, 2 * report.points[0].workers)
        command, why = f"devctl bench --workers 1,2,{most}{option}", "how it scales"
    elif report.counted.way != "ledger":
        command, why = f"devctl chaos{report.again}", "what is lost when a worker is killed"
    elif not option:
        command, why = f"devctl bench --workers {report.points[-1].workers} --task wait:10", "a task that waits"
    else:
        command, why = "devctl bench --task NAME", "a task of your own: devctl tasks"
    yield f"→ {paint(command, 'cyan')}   {why}"


def figure(value: float) -> str:
    """Three significant digits, thousands separated: 78,900 · 9,840 · 95.2 · 0.497."""
    if value <= 0:
        return "0"
    decimals = 2 - floor(log10(value))
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def _near(folder: str) -> str:
    path = Path(folder)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return folder
