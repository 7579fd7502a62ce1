"""How queues look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Any

from devctl.broker.overview import QueueState
from devctl.ui.console import sign
from devctl.ui.paint import Paint
from devctl.ui.units import duration

_HEADS = ("QUEUE", "WAITING", "CLAIMED", "CONSUMERS", "OLDEST")
_RIGHT = ("WAITING", "CLAIMED", "OLDEST")


def show(queues: Sequence[QueueState], stream: IO[str] | None = None) -> None:
    """The table of `devctl queues`."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    rows = [_HEADS, *(_cells(one, stream) for one in queues)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for row, queue in zip(rows, (None, *queues), strict=True):
        cells = [
            cell.rjust(width) if head in _RIGHT else cell.ljust(width)
            for head, cell, width in zip(_HEADS, row, widths, strict=True)
        ]
        if queue is None:
            stream.write(paint("  ".join(cells).rstrip(), "dim") + "\n")
            continue
        cells[0] = paint(cells[0], "cyan")
        if queue.neglected:
            cells.append(paint(f"{sign('!', stream)} nobody consumes it", "yellow"))
        stream.write("  ".join(cells).rstrip() + "\n")
    stream.flush()


def _cells(queue: QueueState, stream: IO[str]) -> tuple[str, ...]:
    consumers = ", ".join(f"{name} {sign('×', stream)}{count}" for name, count in queue.consumers.items())
    oldest = queue.depth.oldest_seconds
    age = "-" if oldest is None else f"{oldest / 3600:,.1f}h" if oldest >= 6000 else duration(oldest)
    return (queue.depth.name, f"{queue.depth.waiting:,}", f"{queue.depth.claimed:,}", consumers or "-", age)


def document(queues: Sequence[QueueState], runtime: str) -> dict[str, Any]:
    """devctl.queues/1."""
    return {
        "schema": "devctl.queues/1",
        "runtime": runtime,
        "queues": [
            {
                "name": one.depth.name,
                "waiting": one.depth.waiting,
                "claimed": one.depth.claimed,
                "oldest_seconds": None if one.depth.oldest_seconds is None else round(one.depth.oldest_seconds, 3),
                "consumers": list(one.nodes),
                "tasks": list(one.contracts),
            }
            for one in queues
        ],
    }
