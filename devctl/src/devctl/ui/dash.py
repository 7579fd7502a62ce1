"""How the dashboard looks in a terminal: a snapshot and what is selected, as lines of a given size."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from devctl.dash.model import Failure, QueueRow, RunningTask, ServiceRow, Snapshot, WorkerRow
from devctl.ui.cells import fit, plain, width
from devctl.ui.console import sign
from devctl.ui.paint import Colour, Paint
from devctl.ui.units import age, duration, size

Section = Literal["services", "queues", "workers", "failures"]
_CURVE = "▁▂▃▄▅▆▇█"
_GAP = 2
_WIDE = 120  # where nobody says how wide the page is
_STATES: dict[str, Colour] = {"running": "green", "done": "dim", "stopped": "dim"}
_HEALTH: dict[str, Colour] = {"healthy": "green", "degraded": "yellow", "starting": "yellow", "unhealthy": "red"}
_KINDS: dict[str, Colour] = {"dead": "red", "failed": "red", "retried": "yellow"}


@dataclass(frozen=True)
class Brush:
    """What this terminal can show. By default nothing but text."""

    pen: Callable[[str, Colour], str] = lambda text, colour: text
    symbol: Callable[[str], str] = lambda symbol: symbol
    reverse: Callable[[str], str] = lambda text: text


PLAIN = Brush()


@dataclass(frozen=True)
class Key:
    """What a row is about: it can be selected."""

    section: Section
    name: str
    """The service, the queue, the node, or the task's id."""
    more: str = ""
    """Of a worker's row, the task that it runs; of a failure, when."""


@dataclass(frozen=True)
class Column:
    """One column: a head, and so many cells at least; those that grow share what is left."""

    head: str
    least: int = 0
    right: bool = False
    grows: bool = False
    rank: int = 0
    """Where there is no room, the highest goes first; 0 stays."""


@dataclass(frozen=True)
class Cell:
    """What stands in one column of one row."""

    text: str = ""
    colour: Colour | None = None
    curve: tuple[float, ...] = ()
    """Beside the text: values over time, the newest last."""


@dataclass(frozen=True)
class Row:
    """One line."""

    key: Key
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One section."""

    section: Section
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str


def tables(snapshot: Snapshot) -> list[Table]:
    """The four sections, in the order in which they are shown."""
    asked = snapshot.broker.url != ""
    return [
        Table("services", _SERVICES, tuple(map(_service, snapshot.services)), "no service is known"),
        Table(
            "queues", _QUEUES, tuple(map(_queue, snapshot.queues)), "no queue is known to this broker" if asked else "…"
        ),
        Table("workers", _WORKERS, tuple(_workers(snapshot.workers)), "no worker answers" if asked else "…"),
        Table(
            "failures",
            _FAILURES,
            tuple(_failure(one, snapshot.at) for one in snapshot.failures),
            "none" if asked else "…",
        ),
    ]


def keys(snapshot: Snapshot) -> list[Key]:
    """All that can be selected, from the top."""
    return [row.key for table in tables(snapshot) for row in table.rows]


def page(
    snapshot: Snapshot,
    columns: int,
    lines: int | None,
    *,
    brush: Brush = PLAIN,
    selected: Key | None = None,
) -> list[str]:
    """So many lines of so many columns at most; None: as many as it takes."""
    head = [_title(snapshot, columns, brush)]
    for text in _troubles(snapshot):
        first, *more = textwrap.wrap(plain(text), columns - 2, max_lines=2, placeholder=" …")
        head += [brush.pen(fit(f"{brush.symbol('!')} {first}", columns), "yellow")]
        head += [brush.pen(fit(f"  {line}", columns), "yellow") for line in more]
    found = tables(snapshot)
    room = None if lines is None else lines - len(head)
    airy = room is None or room >= sum(2 + max(1, len(one.rows)) for one in found)
    shares = _shares([max(1, len(one.rows)) for one in found], room, 2 if airy else 1)
    drawn = list(head)
    for table, share in zip(found, shares, strict=True):
        if airy:
            drawn.append("")
        drawn += _drawn(table, columns, share, brush, selected)
    return drawn if lines is None else drawn[:lines]


def show(snapshot: Snapshot, stream: IO[str] | None = None) -> None:
    """A still picture."""
    stream = stream or sys.stdout
    columns = shutil.get_terminal_size((_WIDE, 24)).columns
    brush = Brush(Paint(stream), lambda symbol: sign(symbol, stream))
    for line in page(snapshot, columns, None, brush=brush):
        stream.write(line.rstrip() + "\n")
    stream.flush()


def _title(snapshot: Snapshot, columns: int, brush: Brush) -> str:
    broker = snapshot.broker
    memory = size(broker.memory_bytes) if broker.memory_bytes else ""
    if memory and broker.max_memory_bytes:
        memory += f" of {size(broker.max_memory_bytes)}"
    moment = time.strftime("%H:%M:%S", time.localtime(snapshot.at))
    said = "  ".join(one for one in (snapshot.stack, snapshot.runtime, broker.url, memory) if one)
    return brush.pen(fit(said, columns - len(moment) - _GAP) + " " * _GAP + moment, "bold")


def _troubles(snapshot: Snapshot) -> Iterator[str]:
    if not snapshot.broker.reachable:
        seen = "; below is what it last said" if snapshot.queues else ""
        yield f"{snapshot.broker.problem or 'asking the broker …'}{seen}"
    yield from snapshot.problems


def _shares(wanted: Sequence[int], room: int | None, extra: int) -> list[int]:
    """Rows for each section: what it wants, or a fair part of what there is; one at least."""
    if room is None:
        return list(wanted)
    left, shares = room - extra * len(wanted), [1] * len(wanted)
    left -= len(wanted)
    while left > 0 and any(share < want for share, want in zip(shares, wanted, strict=True)):
        for at, want in enumerate(wanted):
            if left > 0 and shares[at] < want:
                shares[at] += 1
                left -= 1
    return shares


def _drawn(table: Table, columns: int, share: int, brush: Brush, selected: Key | None) -> Iterator[str]:
    shown = _columns(table, columns)
    widths = _widths(table, shown, columns)
    head = (" " * _GAP).join(fit(table.columns[at].head, widths[at], right=table.columns[at].right) for at in shown)
    above, rows, below = _window(table.rows, share, selected)
    yield brush.pen(fit(f"  {head}", columns), "dim")
    if not table.rows:
        yield brush.pen(fit(f"  {table.empty}", columns), "dim")
        return
    for number, row in enumerate(rows):
        mine = row.key == selected
        cells = []
        for at in shown:
            cell, column = row.cells[at], table.columns[at]
            text = fit(cell.text, widths[at], right=column.right)
            if cell.curve:
                room = widths[at] - (width(cell.text) + 1 if cell.text else 0)
                text = f"{cell.text} " * bool(cell.text) + _curve(cell.curve, room, brush)
            cells.append(brush.pen(text, cell.colour) if cell.colour and not mine else text)
        line = (" " * _GAP).join(cells)
        more = (above if number == 0 else 0) or (below if number == len(rows) - 1 else 0)
        mark = brush.symbol("▸") if mine else brush.symbol("⋮") if more else " "
        text = f"{mark} {line}"
        yield brush.reverse(fit(text, columns)) if mine else text


def _window(rows: Sequence[Row], share: int, selected: Key | None) -> tuple[int, Sequence[Row], int]:
    """As many rows as have room, the selected one among them; how many are above and below."""
    at = next((number for number, row in enumerate(rows) if row.key == selected), 0)
    first = max(0, min(at - share // 2, len(rows) - share))
    return first, rows[first : first + share], max(0, len(rows) - first - share)


def _columns(table: Table, columns: int) -> list[int]:
    """The columns that have room, by their place."""
    shown = list(range(len(table.columns)))
    while shown:
        needed = 2 + sum(_least(table, at) for at in shown) + _GAP * (len(shown) - 1)
        last = max(shown, key=lambda at: (table.columns[at].rank, at))
        if needed <= columns or not table.columns[last].rank:
            break
        shown.remove(last)
    return shown


def _least(table: Table, at: int) -> int:
    column = table.columns[at]
    if column.grows:
        return max(column.least, width(column.head))
    return max(column.least, width(column.head), *(width(row.cells[at].text) for row in table.rows), 0)


def _widths(table: Table, shown: Sequence[int], columns: int) -> dict[int, int]:
    widths = {at: _least(table, at) for at in shown}
    left = columns - 2 - sum(widths.values()) - _GAP * (len(shown) - 1)
    growing = [at for at in shown if table.columns[at].grows]
    for number, at in enumerate(growing):
        widths[at] += max(0, left) // len(growing) + (number < max(0, left) % len(growing))
    for at in reversed(shown):  # too narrow even so: the longest texts give way
        if left < 0:
            give = min(-left, max(0, widths[at] - max(4, table.columns[at].least)))
            widths[at] -= give
            left += give
    return widths


def _curve(values: Sequence[float], cells: int, brush: Brush) -> str:
    """The newest at the right; each cell the highest of its part of two minutes, on a scale from 0 to the highest."""
    used = min(max(0, cells), len(values))
    ends = [at * len(values) // used for at in range(used + 1)] if used else [0]
    parts = [max(values[begin:end]) for begin, end in itertools.pairwise(ends)]
    top = max(parts, default=0.0) or 1.0
    return "".join(brush.symbol(_CURVE[round(one / top * 7)]) for one in parts).rjust(cells)


_SERVICES = (
    Column("SERVICE", 8),
    Column("STATE"),
    Column("HEALTH"),
    Column("REPLICAS", right=True),
    Column("ROLE", rank=2),
    Column("PORTS", 10, grows=True, rank=1),
)


def _service(one: ServiceRow) -> Row:
    return Row(
        Key("services", one.name),
        (
            Cell(one.name, "cyan"),
            Cell(one.state, _STATES.get(one.state, "red")),
            Cell(one.health or "-", _HEALTH.get(one.health)),
            Cell(f"{one.replicas}"),
            Cell(one.role),
            Cell(", ".join(port.partition("->")[0] for port in one.ports)),
        ),
    )


_QUEUES = (
    Column("QUEUE", 8),
    Column("WAITING", right=True),
    Column("CLAIMED", right=True),
    Column("DUE", right=True),
    Column("DEAD", right=True),
    Column("IN/s", 5, right=True),
    Column("OUT/s", 5, right=True),
    Column("OLDEST", 6, right=True),
    Column("2 MINUTES", 9, grows=True, rank=1),
)


def _queue(one: QueueRow) -> Row:
    oldest = one.oldest_seconds
    depths = tuple(float(depth) for _, depth, _ in one.history)
    return Row(
        Key("queues", one.name),
        (
            Cell(one.name, "cyan"),
            Cell(f"{one.waiting:,}"),
            Cell("?" if one.claimed is None else f"{one.claimed:,}"),
            Cell(f"{one.due:,}"),
            Cell(f"{one.dead:,}", "red" if one.stopped else None),
            Cell(_rate(one.rate_in)),
            Cell(_rate(one.rate_out)),
            Cell("-" if oldest is None else _short(oldest)),
            Cell(_remark(one), "yellow" if _remark(one) else None, depths or (0.0,)),
        ),
    )


def _remark(one: QueueRow) -> str:
    if one.paused:
        return "paused"
    if one.stopped:
        return "stopped"
    return "no worker" if one.consumers == 0 else ""


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _short(seconds: float) -> str:
    return duration(seconds) if seconds < 3_600 else age(seconds)


_WORKERS = (
    Column("WORKER", 10),
    Column("SERVICE", rank=3),
    Column("BUSY", right=True),
    Column("RUNS", 8),
    Column("TASK", 8),
    Column("FOR", 6, right=True),
    Column("PROGRESS", 8, grows=True, rank=1),
)


def _workers(workers: Sequence[WorkerRow]) -> Iterator[Row]:
    for one in workers:
        busy = f"{len(one.running)}/{one.threads}" if one.threads else f"{len(one.running)}"
        for number, run in enumerate(one.running or (None,)):
            first = number == 0
            yield Row(
                Key("workers", one.node, run.task_id if run else ""),
                (
                    Cell(one.node if first else "", "cyan"),
                    Cell(one.service if first else ""),
                    Cell(busy if first else ""),
                    Cell(_last(run.task) if run else "-"),
                    Cell(run.task_id[:8] if run else ""),
                    Cell(_short(run.seconds) if run else ""),
                    Cell(_progress(run)),
                ),
            )


def _progress(run: RunningTask | None) -> str:
    if run is None or (run.progress is None and not run.note):
        return ""
    if run.progress is None:
        return run.note
    return f"{run.progress:4.0%} {run.note}".rstrip()


_FAILURES = (
    Column("FAILED", 6),
    Column("", 7),
    Column("TASK", 8),
    Column("ID", 8),
    Column("QUEUE", rank=2),
    Column("REASON", rank=1),
    Column("ERROR", 16, grows=True),
)


def _failure(one: Failure, now: float) -> Row:
    letter = one.kind == "dead" and not one.letter_id
    return Row(
        Key("failures", one.task_id, f"{one.at:.3f} {one.kind}"),
        (
            Cell(f"{age(max(0.0, now - one.at))} ago"),
            Cell("was dead" if letter else one.kind, "dim" if letter else _KINDS[one.kind]),
            Cell(_last(one.task)),
            Cell(one.task_id[:8]),
            Cell(one.queue),
            Cell(one.reason),
            Cell(one.error),
        ),
    )


def _last(task: str) -> str:
    return task.rpartition(".")[2]
