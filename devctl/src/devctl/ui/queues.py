"""How queues look."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import IO, Any

from devctl.broker.overview import QueueState
from devctl.broker.port import QueueDepth
from devctl.broker.unknown import Unknown
from devctl.ui.console import sign
from devctl.ui.paint import Paint
from devctl.ui.services import show_next
from devctl.ui.units import duration

_HEADS = ("QUEUE", "WAITING", "CLAIMED", "DELAYED", "DEAD", "CONSUMERS", "OLDEST")
_OF_BENCH = "bench"  # of no contract of the stack: `devctl bench` alone sends to it
_RIGHT = ("WAITING", "CLAIMED", "DELAYED", "DEAD", "OLDEST")


def show(queues: Sequence[QueueState], stream: IO[str] | None = None, *, letters: bool = True) -> None:
    """The table of `devctl queues`; warnings beside their rows, or below where a terminal is too narrow for that.

    Without `letters` there is no column of dead ones: stock Celery keeps none.
    """
    stream = stream or sys.stdout
    paint = Paint(stream)
    heads = [head for head in _HEADS if letters or head != "DEAD"]
    queues = [one for one in queues if one.depth.name != _OF_BENCH or one.contracts or _holds(one.depth)]
    rows = [{head: head for head in heads}, *(_cells(one, stream) for one in queues)]
    widths = {head: max(len(row[head]) for row in rows) for head in heads}
    warnings = [f"{sign('!', stream)} {warning}" if (warning := _warning(one)) else "" for one in queues]
    room = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
    beside = sum(widths.values()) + 2 * len(widths) + max(map(len, warnings), default=0) <= room
    for row, queue, warning in zip(rows, (None, *queues), ("", *warnings), strict=True):
        cells = {
            head: row[head].rjust(widths[head]) if head in _RIGHT else row[head].ljust(widths[head]) for head in heads
        }
        if queue is None:
            stream.write(paint("  ".join(cells.values()).rstrip(), "dim") + "\n")
            continue
        cells["QUEUE"] = paint(cells["QUEUE"], "cyan")
        if queue.depth.stopped and letters:
            cells["DEAD"] = paint(cells["DEAD"], "red")
        line = [*cells.values(), paint(warning, "yellow")] if warning and beside else list(cells.values())
        stream.write("  ".join(line).rstrip() + "\n")
    if not beside:
        _below(queues, stream)
    stream.flush()


def show_notes(queues: Sequence[QueueState], blind: str, *, letters: bool, stream: IO[str] | None = None) -> None:
    """What the table cannot say: what is not seen, who holds what is delayed, which tasks nobody there knows, where
    RabbitMQ puts what is rejected."""
    stream = stream or sys.stderr
    if blind:
        _note(f"{sign('!', stream)} {blind}", stream)
    if not letters and any(one.depth.delayed for one in queues):
        _note("  delayed: a worker has them in its memory until they are due, and Redis as claimed", stream)
    for one in queues:
        for task in one.unknown:
            _note(f"{sign('!', stream)} {one.depth.name}: {_unknown(task)}", stream)
        if one.depth.dead_letters_to:
            _note(f"  {one.depth.name}: what a worker rejects goes to {one.depth.dead_letters_to}", stream)


def _note(text: str, stream: IO[str]) -> None:
    width = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
    lines = textwrap.wrap(text, width, subsequent_indent="  ", drop_whitespace=True, initial_indent="") or [text]
    stream.write("\n".join(lines) + "\n")


def _unknown(one: Unknown) -> str:
    parts = []
    if one.waiting:
        parts.append(f"no worker there knows {one.task} ({_share(one.waiting, one.of_waiting, 'oldest message')})")
    if one.dead:
        died = f"{one.task} was not known there" if not one.waiting else "and some died of it"
        parts.append(f"{died} ({_share(one.dead, one.of_dead, 'newest dead letter')})")
    return ", ".join(parts)


def _share(count: int, looked_at: int, what: str) -> str:
    return f"the {what}" if looked_at == 1 else f"{count} of the {looked_at} {what}s"


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
    parts = ["paused: no worker takes from it"] if queue.paused else []
    parts += ["stopped: too many dead letters"] if queue.depth.stopped else []
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


def show_done(sentence: str, stream: IO[str] | None = None) -> None:
    """What `devctl queues pause` and `resume` did."""
    stream = stream or sys.stdout
    stream.write(f"{Paint(stream)(sign('✔', stream), 'green')} {sentence}\n")


def show_restored(claims: int, stream: IO[str] | None = None) -> None:
    """What `devctl restore` did."""
    stream = stream or sys.stdout
    what = "no expired claims" if not claims else f"returned {claims:,} expired claim{'s' * (claims != 1)} to the queue"
    stream.write(f"{Paint(stream)(sign('✔', stream), 'green')} {what}\n")


def show_returned(how: str, stream: IO[str] | None = None) -> None:
    """That there is nothing to restore, and why."""
    stream = stream or sys.stdout
    _note(f"nothing to restore: {how}", stream)


def _cells(queue: QueueState, stream: IO[str]) -> dict[str, str]:
    named = [f"{name} {sign('×', stream)}{count}" for name, count in queue.consumers.items()]
    silent = [f"{sign('×', stream)}{queue.silent} that did not answer"] if queue.silent else []
    depth = queue.depth
    oldest = depth.oldest_seconds
    return {
        "QUEUE": depth.name,
        "WAITING": f"{depth.waiting:,}",
        "CLAIMED": "?" if depth.claimed is None else f"{depth.claimed:,}",
        "DELAYED": f"{depth.delayed:,}",
        "DEAD": f"{depth.dead:,}",
        "CONSUMERS": ", ".join([*named, *silent]) or "-",
        "OLDEST": "-" if oldest is None else f"{oldest / 3600:,.1f}h" if oldest >= 6000 else duration(oldest),
    }


def document(queues: Sequence[QueueState], runtime: str, expired: int = 0, blind: str = "") -> dict[str, Any]:
    """devctl.queues/3."""
    return {
        "schema": "devctl.queues/3",
        "runtime": runtime,
        "expired": expired,
        "unseen": blind,
        "queues": [
            {
                "name": one.depth.name,
                "waiting": one.depth.waiting,
                "claimed": one.depth.claimed,
                "delayed": one.depth.delayed,
                "dead": one.depth.dead,
                "stopped": one.depth.stopped,
                "paused": one.paused,
                "oldest_seconds": None if one.depth.oldest_seconds is None else round(one.depth.oldest_seconds, 3),
                "consumers": list(one.nodes),
                "services": one.consumers,
                "silent": one.silent,
                "dead_letters_to": one.depth.dead_letters_to,
                "tasks": list(one.contracts),
                "unknown_tasks": [
                    {"task": task.task, "waiting": task.waiting, "dead": task.dead} for task in one.unknown
                ],
            }
            for one in queues
        ],
    }
