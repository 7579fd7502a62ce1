"""The trace of a task as the page draws it: one row for each span and each attempt, with its bars already to scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devctl.broker.port import Broker
from devctl.errors import DevctlError
from devctl.trace.explain import Unknown
from devctl.trace.look import Looking
from devctl.trace.model import GOES_ON, Attempt, Span, Trace, Where

Row = dict[str, Any]
Bar = tuple[str, float, float]
"""What it is, and from where to where: 0 is the begin of the trace, 1 its end."""


def read(broker: Broker, asked: str, option: str = "") -> Row:
    """Find it and lay it out; DevctlError where nothing is known of that id."""
    trace = Looking(broker, asked).trace()
    if not isinstance(trace, Unknown):
        return document(trace)
    why = {"stock": trace.why, "off": "no step of any task is recorded here"}
    raise DevctlError(
        f"nothing is known of {asked}",
        details=[why.get(trace.reason, "no step, no result, no message and no dead letter of it is here")],
        hint=f"devctl trace {asked}{option}     says more; a task of another stack is only known there",
    )


def document(trace: Trace) -> Row:
    """All of it."""
    return {
        "asked": trace.asked,
        "correlation": trace.correlation_id,
        "at": trace.begin,
        "seconds": trace.end - trace.begin,
        "state": trace.state,
        "ended": trace.ended,
        "shares": {name: seconds for name, seconds in vars(trace.shares).items() if seconds},
        "gaps": list(trace.gaps),
        "rows": [row for span in trace.spans for row in _rows(trace, span, 0)],
    }


def _rows(trace: Trace, span: Span, depth: int) -> Iterator[Row]:
    where, several = trace.where.get(span.task_id), len(span.attempts) > 1
    bars = [bar for one in span.attempts for bar in _bars(trace, one)]
    yield {
        "key": f"{span.kind} {span.task_id or span.group_id or span.name}",
        "depth": depth,
        "kind": span.kind,
        "name": f"{span.name}, {span.done} of {len(span.parts)} done" if span.kind in ("group", "chord") else span.name,
        "id": span.task_id,
        "who": span.who,
        "queue": span.queue,
        "state": span.state,
        "at": None if span.begin is None else span.begin - trace.begin,
        "seconds": _between(span.begin, span.end),
        "said": [one for one in (span.reason, span.error, *_doing(span, several)) if one],
        "where": _words(where, trace.now) if where else "",
        "letter": trace.letters.get(span.task_id, ""),
        "bars": bars if span.kind == "task" else [*_scaled(trace, "request", span.begin, span.end)],
    }
    for number, one in enumerate(span.attempts if several else (), 1):
        yield {
            "key": f"{span.task_id} {number}",
            "depth": depth + 1,
            "kind": "attempt",
            "name": f"{'replay' if one.replay else 'attempt'} {number}",
            "id": "",
            "who": one.worker,
            "queue": "",
            "state": one.state,
            "at": None if one.begin is None else one.begin - trace.begin,
            "seconds": _between(one.began, one.ended),
            "said": [part for part in (one.reason, one.error, *_progress(one)) if part],
            "where": "",
            "letter": "",
            "bars": [*_bars(trace, one)],
        }
    for child in span.children:
        yield from _rows(trace, child, depth + 1)


def _doing(span: Span, several: bool) -> list[str]:
    return [] if several or not span.attempts else _progress(span.attempts[-1])


def _progress(attempt: Attempt) -> list[str]:
    if attempt.state not in GOES_ON or attempt.progress is None:
        return []
    return [" · ".join(part for part in (f"{attempt.progress:.0%}", attempt.note) if part)]


def _bars(trace: Trace, one: Attempt) -> Iterator[Bar]:
    last = one.settled if one.settled is not None else trace.now if one.state in GOES_ON else one.ended
    taken = one.claimed if one.claimed is not None else one.began if one.began is not None else last
    ready = one.queued if one.queued is None or one.due is None else max(one.queued, one.due)
    yield from _scaled(trace, "due", one.queued, ready if taken is None or ready is None else min(ready, taken))
    yield from _scaled(trace, "waited", ready, taken)
    yield from _scaled(trace, "claimed", taken, one.began if one.began is not None else last)
    yield from _scaled(trace, "ran", one.began, one.ended if one.ended is not None else last)
    yield from _scaled(trace, "claimed", one.ended, one.settled)


def _scaled(trace: Trace, kind: str, begin: float | None, end: float | None) -> Iterator[Bar]:
    whole = trace.end - trace.begin
    if begin is not None and end is not None and end > begin and whole > 0:
        yield kind, round((begin - trace.begin) / whole, 4), round((end - trace.begin) / whole, 4)


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)


def _words(where: Where, now: float) -> str:
    since = "" if where.since is None else f" since {max(0.0, now - where.since):.1f} s"
    if where.state == "running":
        return f"runs on {where.worker}{since}"
    if where.state == "claimed":
        return f"claimed by {where.worker or 'a worker that no longer says so'}{since}"
    if where.state == "due":
        return "is due later" if where.due is None else f"is due in {max(0.0, where.due - now):.1f} s"
    if where.state == "gone":
        return "its message is not in the broker any more"
    behind = f" behind {where.behind:,} others" if where.behind else ""
    held = " (paused)" if where.paused else " (stopped: too many dead letters)" if where.stopped else ""
    return f"waits{since}{behind} in {where.queue}{held}"
