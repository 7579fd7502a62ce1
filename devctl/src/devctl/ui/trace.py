"""How the way of a task looks: a tree, and a bar for each part of it to scale."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from devctl import errors
from devctl.trace.model import Attempt, Span, Trace
from devctl.ui.console import out, sign
from devctl.ui.paint import Colour, Paint
from devctl.ui.services import show_next
from devctl.ui.trace_rows import Row, Segment, headline, mark, quick, rows, short, summary, unknown

if TYPE_CHECKING:
    from celeriac.life.record import Record

__all__ = ["document", "follow", "lines", "show", "show_steps", "unknown"]

_COLOURS: dict[str, Colour] = {"✔": "green", "✘": "red", "●": "yellow", "!": "yellow", "·": "dim"}
_BAR_LEAST, _BAR_MOST = 12, 48
_CELLS = {"due": "·", "wait": "░", "run": "█", "request": "▒"}
_IN_WORDS = {"due": "not due yet", "wait": "waits", "run": "runs", "request": "request"}
_ON_TOP = ("due", "request", "wait", "run")
"""Where two pieces share a cell, the later one of these is seen."""


def show(trace: Trace, stream: IO[str] | None = None) -> None:
    """The whole of it."""
    stream = stream or sys.stdout
    for line in lines(trace, shutil.get_terminal_size().columns, stream):
        stream.write(line.rstrip() + "\n")
    stream.flush()


def follow(first: Trace, coming: Iterator[tuple[Trace, list[Record]]], *, quiet: bool) -> Trace:
    """Draw it in place until all has ended; in a pipe, a line for each step. Ctrl-C ends it with the usual 130."""
    last = first
    try:
        if quiet or not sys.stdout.isatty():
            for last, new in coming:
                for one in () if quiet else new:
                    sys.stdout.write(step(one, last) + "\n")
                sys.stdout.flush()
        elif not first.ended:
            last = _in_place(first, coming)
    except KeyboardInterrupt:
        raise SystemExit(errors.INTERRUPTED) from None
    return last


def _in_place(first: Trace, coming: Iterator[tuple[Trace, list[Record]]]) -> Trace:
    from rich.live import Live
    from rich.text import Text

    stream = sys.stdout  # while it is drawn, something of Rich's is there

    def frame(trace: Trace) -> Text:
        return Text.from_ansi("\n".join(lines(trace, out().width, stream)))

    last = first
    with Live(frame(first), console=out(), auto_refresh=False, transient=True) as live:
        for last, _ in coming:
            live.update(frame(last), refresh=True)
    return last


def step(record: Record, trace: Trace) -> str:
    """`+12.4ms  resize 0190b3c2  claimed  worker@1`."""
    after = f"+{quick(max(0.0, record.at - trace.begin))}"
    names = {one.task_id: one.name for one in trace.tasks}
    tags = {attempt.tag: one.task_id for one in trace.tasks for attempt in one.attempts if attempt.tag}
    task_id = record.task_id or tags.get(record.tag, "")
    note = record.error or record.reason or record.note
    return f"{after:>10}  {short(names.get(task_id, ''))} {task_id[:8]}  {record.kind}  {record.who}  {note}".rstrip()


def show_steps(trace: Trace, option: str) -> None:
    """What to do next, on stderr."""
    steps = []
    if not trace.ended:
        steps.append((f"devctl trace {trace.asked}{option} --follow", "until all has ended"))
    letter = next(iter(trace.letters.values()), "")
    if letter:
        steps.append((f"devctl dead-letters replay {letter}{option}", "try it again"))
    identity = trace.correlation_id or next((one.task_id for one in trace.tasks), trace.asked)
    steps.append((f"devctl logs --id {identity}{option}", "what the services say of it"))
    show_next(steps)


def lines(trace: Trace, width: int, stream: IO[str]) -> list[str]:
    """As wide as that."""
    paint, found = Paint(stream), rows(trace)
    symbol = mark(trace.state)
    made = _folded(headline(trace), width, 2)
    made[0] = f"{paint(sign(symbol, stream), _COLOURS[symbol])} {made[0]}"
    made[1:] = [f"  {line}" for line in made[1:]]
    known = f", correlation id {trace.correlation_id}" if trace.correlation_id else ""
    made += [f"  {paint(line, 'dim')}" for line in _folded(summary(trace) + known, width, 2)] + [""]
    labels = [_label(row, row.who, stream) for row in found]
    took = max((len(_signed(row.took, stream)) for row in found), default=0)
    room = width - took - 4
    names = min(max((len(label) for label in labels), default=0), max(16, room - _BAR_LEAST))
    bar = max(0, min(_BAR_MOST, room - names))
    for row in found:
        cells = _bar(row.segments, trace, bar, paint, stream, row.mark) if bar >= _BAR_LEAST else ""
        shown = _fitting(row, names, stream)
        # The mark stands behind the branches; painted, it is longer than it looks.
        head = shown.replace(sign(row.mark, stream), paint(sign(row.mark, stream), _COLOURS[row.mark]), 1)
        made.append(f"{head}{' ' * (names - len(shown))}  {_signed(row.took, stream).rjust(took)}  {cells}")
        indent = _under(row, stream)
        for symbol, text in row.notes:
            parts = _folded(text, width, len(indent) + 2)
            made.append(f"{indent}{paint(sign(symbol, stream), _COLOURS[symbol])} {parts[0]}")
            made += [f"{indent}  {part}" for part in parts[1:]]
    kinds = dict.fromkeys(
        kind for kind in ("due", "wait", "run", "request") for row in found for one in row.segments if one.kind == kind
    )
    if kinds and bar >= _BAR_LEAST:
        legend = "  ".join(f"{sign(_CELLS[kind], stream)} {_IN_WORDS[kind]}" for kind in kinds)
        made.append(paint(legend.rjust(names + took + 4 + bar), "dim"))
    for gap in trace.gaps:
        parts = _folded(gap, width, 2)
        made += [f"{paint('!', 'yellow')} {parts[0]}", *(f"  {part}" for part in parts[1:])]
    return made


def _label(row: Row, who: str, stream: IO[str]) -> str:
    branch = "".join("   " if last else sign("│", stream) + "  " for last in row.last[:-1])
    if row.last:
        branch += (sign("└", stream) if row.last[-1] else sign("├", stream)) + sign("─", stream) + " "
    return f"{branch}{sign(row.mark, stream)} {row.name}" + (f"  {who}" if who else "")


def _under(row: Row, stream: IO[str]) -> str:
    return "".join("   " if last else sign("│", stream) + "  " for last in row.last) + "  "


def _bar(segments: Sequence[Segment], trace: Trace, width: int, paint: Paint, stream: IO[str], symbol: str) -> str:
    """Each piece has a cell at least, so that it can be seen."""
    total = trace.end - trace.begin
    cells = [" "] * width
    if total <= 0:
        total = 1.0
    for kind in _ON_TOP:
        for one in segments:
            if one.kind == kind:
                begin = min(width - 1, int((one.begin - trace.begin) / total * width))
                end = max(begin + 1, round((one.end - trace.begin) / total * width))
                cells[begin : min(end, width)] = [kind] * (min(end, width) - begin)
    colours: dict[str, Colour] = {"run": "red" if symbol == "✘" else "green", "request": "cyan"}
    made, at = [], 0
    while at < width:
        stop = at
        while stop < width and cells[stop] == cells[at]:
            stop += 1
        kind = cells[at]
        text = " " * (stop - at) if kind == " " else sign(_CELLS[kind], stream) * (stop - at)
        made.append(text if kind == " " else paint(text, colours.get(kind, "dim")))
        at = stop
    return "".join(made)


def _folded(text: str, width: int, indent: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(20, width - indent), break_on_hyphens=False) or [""]


def _fitting(row: Row, width: int, stream: IO[str]) -> str:
    """Its label; where it is too long, first without the worker's host, then without the worker."""
    for who in dict.fromkeys((row.who, row.who.partition("@")[0], "")):
        label = _label(row, who, stream)
        if len(label) <= width:
            return label
    dots = sign("…", stream)
    return label[: width - len(dots)] + dots


def _signed(text: str, stream: IO[str]) -> str:
    return text.replace("·", sign("·", stream))


def document(trace: Trace) -> dict[str, Any]:
    """devctl.trace/1: spans from top to bottom, each with the number of the one above it."""
    shares = trace.shares
    return {
        "schema": "devctl.trace/1",
        "asked": trace.asked,
        "correlation_id": trace.correlation_id,
        "state": trace.state,
        "ended": trace.ended,
        "begin": trace.begin,
        "seconds": round(trace.end - trace.begin, 6),
        "shares": {
            name: round(getattr(shares, name), 6)
            for name in ("ran", "commit", "claimed", "returned", "waited", "due", "dead", "request", "other")
        },
        "spans": [_span(trace, span, number, above) for number, (span, above) in enumerate(_numbered(trace))],
        "gaps": list(trace.gaps),
    }


def _numbered(trace: Trace) -> list[tuple[Span, int | None]]:
    made: list[tuple[Span, int | None]] = []
    ahead: list[tuple[Span, int | None]] = [(span, None) for span in reversed(trace.spans)]
    while ahead:
        span, above = ahead.pop()
        made.append((span, above))
        number = len(made) - 1
        ahead += [(child, number) for child in reversed(span.children)]
    return made


def _span(trace: Trace, span: Span, row: int, above: int | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "number": row,
        "parent": above,
        "kind": span.kind,
        "name": span.name,
        "who": span.who,
        "state": span.state,
        "begin": span.begin,
        "end": span.end,
    }
    if span.kind == "task":
        where = trace.where.get(span.task_id)
        said |= {
            "id": span.task_id,
            "queue": span.queue,
            "publisher": span.publisher,
            "error": span.error,
            "reason": span.reason,
            "dead_letter": trace.letters.get(span.task_id),
            "where": None
            if where is None
            else {
                "state": where.state,
                "queue": where.queue,
                "behind": where.behind,
                "due": where.due,
                "worker": where.worker,
            },
            "attempts": [
                _attempt(one) | {"output": list(trace.output.get((span.task_id, number), ()))}
                for number, one in enumerate(span.attempts)
            ],
        }
    elif span.kind != "request":
        said |= {"parts": len(span.parts), "done": span.done}
    return said


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "state": one.state,
        "worker": one.worker,
        "queued": one.queued,
        "due": one.due,
        "claimed": one.claimed,
        "began": one.began,
        "ended": one.ended,
        "settled": one.settled,
        "error": one.error,
        "reason": one.reason,
        "replay": one.replay,
        "progress": one.progress,
        "note": one.note,
    }
