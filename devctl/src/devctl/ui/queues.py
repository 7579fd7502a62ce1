"""How queues look."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any

from devctl.broker.overview import QueueState
from devctl.broker.port import QueueDepth
from devctl.ui.console import sign
from devctl.ui.paint import Paint
from devctl.ui.services import show_next
from devctl.ui.units import duration

_HEADS = ("QUEUE", "WAITING", "CLAIMED", "DELAYED", "DEAD", "CONSUMERS", "OLDEST")
_OF_BENCH = "bench"  # of no contract of the stack: `devctl bench` alone sends to it
_RIGHT = ("WAITING", "CLAIMED", "DELAYED", "DEAD", "OLDEST")


def show(queues: Sequence[QueueState], stream: IO[str] | None = None) -> None:
    """The table of `devctl queues`; warnings beside their rows, or below where a terminal is too narrow for that."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    queues = [one for one in queues if one.depth.name != _OF_BENCH or one.contracts or _holds(one.depth)]
    rows = [_HEADS, *(_cells(one, stream) for one in queues)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    warnings = [f"{sign('!', stream)} {warning}" if (warning := _warning(one)) else "" for one in queues]
    room = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
    beside = sum(widths) + 2 * len(widths) + max(map(len, warnings), default=0) <= room
    for row, queue, warning in zip(rows, (None, *queues), ("", *warnings), strict=True):
        cells = [
            cell.rjust(width) if head in _RIGHT else cell.ljust(width)
            for head, cell, width in zip(_HEADS, row, widths, strict=True)
        ]
        if queue is None:
            stream.write(paint("  ".join(cells).rstrip(), "dim") + "\n")
            continue
        cells[0] = paint(cells[0], "cyan")
        if queue.depth.stopped:
            cells[4] = paint(cells[4], "red")
        if warning and beside:
            cells.append(paint(warning, "yellow"))
        stream.write("  ".join(cells).rstrip() + "\n")
    if not beside:
        _below(queues, stream)
    stream.flush()


def _holds(depth: QueueDepth) -> int:
    return depth.waiting + (depth.claimed or 0) + depth.delayed + depth.dead


def _below(queues: Sequence[QueueState], stream: IO[str]) -> None:
    told: dict[str, list[str]] = {}
    for one in queues:
        if warning := _warning(one):
            told.setdefault(warning, []).append(one.depth.name)
    for warning, names in told.items():
        stream.write(f"{Paint(stream)(sign('!', stream), 'yellow')} {', '.join(names)}: {warning}\n")


def _warning(queue: QueueState) -> str:
    parts = ["stopped: too many dead letters"] if queue.depth.stopped else []
    if queue.neglected:
        silent = f"{queue.owner} runs, but does not answer: it may be connecting, or busy"
        parts.append(silent if queue.owner_runs else "no worker consumes it")
    if queue.depth.name == _OF_BENCH and not queue.contracts:
        parts.append("left by devctl bench")
    return "; ".join(parts)


def show_expired(claims: int, option: str, stream: IO[str] | None = None) -> None:
    """Say that there are expired claims, and which command returns them."""
    stream = stream or sys.stderr
    claim, it = ("1 expired claim", "it") if claims == 1 else (f"{claims:,} expired claims", "them")
    stream.write(f"{Paint(stream)(sign('!', stream), 'yellow')} {claim}, and no worker returns {it}\n")
    show_next([(f"devctl restore{option}", "return to the queue what its dead worker had claimed")], stream)


def show_restored(claims: int, stream: IO[str] | None = None) -> None:
    """What `devctl restore` did."""
    stream = stream or sys.stdout
    what = "no expired claims" if not claims else f"returned {claims:,} expired claim{'s' * (claims != 1)} to the queue"
    stream.write(f"{Paint(stream)(sign('✔', stream), 'green')} {what}\n")


def _cells(queue: QueueState, stream: IO[str]) -> tuple[str, ...]:
    consumers = ", ".join(f"{name} {sign('×', stream)}{count}" for name, count in queue.consumers.items())
    depth = queue.depth
    oldest = depth.oldest_seconds
    age = "-" if oldest is None else f"{oldest / 3600:,.1f}h" if oldest >= 6000 else duration(oldest)
    counts = [
        "?" if count is None else f"{count:,}" for count in (depth.waiting, depth.claimed, depth.delayed, depth.dead)
    ]
    return (depth.name, *counts, consumers or "-", age)


def document(queues: Sequence[QueueState], runtime: str, expired: int = 0) -> dict[str, Any]:
    """devctl.queues/2."""
    return {
        "schema": "devctl.queues/2",
        "runtime": runtime,
        "expired": expired,
        "queues": [
            {
                "name": one.depth.name,
                "waiting": one.depth.waiting,
                "claimed": one.depth.claimed,
                "delayed": one.depth.delayed,
                "dead": one.depth.dead,
                "stopped": one.depth.stopped,
                "oldest_seconds": None if one.depth.oldest_seconds is None else round(one.depth.oldest_seconds, 3),
                "consumers": list(one.nodes),
                "tasks": list(one.contracts),
            }
            for one in queues
        ],
    }
