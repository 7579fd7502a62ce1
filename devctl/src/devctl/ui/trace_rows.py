"""A trace as rows: what stands in each, and its bar, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from devctl.trace.explain import Unknown
from devctl.trace.model import GOES_ON, Attempt, Span, State, Trace, Where
from devctl.ui.units import age, duration, milliseconds

Mark = Literal["✔", "✘", "●", "!", "·"]
_MARKS: dict[State, Mark] = {
    "succeeded": "✔",
    "failed": "✘",
    "dead": "✘",
    "rejected": "✘",
    "running": "●",
    "claimed": "●",
    "waiting": "●",
    "due": "●",
    "retried": "✘",
    "returned": "!",
    "refused": "!",
    "revoked": "!",
    "dropped": "!",
}
_WORDS: dict[State, str] = {
    "retried": "failed, and is tried again",
    "dead": "dead",
    "due": "due later",
    "repeated": "the work was done before",
    "refused": "came too late: another worker had the message",
}
_SHORT = 8
_LONG_COMMIT = 0.02
"""Seconds, above which a commit is worth a word: mostly it takes a few milliseconds."""


@dataclass(frozen=True)
class Segment:
    """A piece of a bar; unix seconds."""

    kind: Literal["due", "wait", "run", "request"]
    begin: float
    end: float


@dataclass(frozen=True)
class Row:
    """A request, a group, a task, or one attempt of a task that has several."""

    depth: int
    last: tuple[bool, ...]
    """For each level below the first: whether the row, or what it hangs on, is the last one there."""
    name: str
    who: str
    took: str
    state: State
    mark: Mark
    segments: tuple[Segment, ...] = ()
    notes: tuple[tuple[Mark, str], ...] = ()
    """What stands beneath it: errors, where it is, its dead letter."""
    task_id: str = ""


def rows(trace: Trace) -> list[Row]:
    """All of them, from top to bottom."""
    return list(_rows(trace))


def _rows(trace: Trace) -> Iterator[Row]:
    ahead: list[tuple[Span | tuple[Span, int], tuple[bool, ...], int]] = []
    ahead += [(span, (), 0) for span in reversed(trace.spans)]
    while ahead:
        one, last, depth = ahead.pop()
        if not isinstance(one, Span):
            span, number = one
            yield _attempt(trace, span, number, last, depth)
            continue
        yield _row(trace, one, last, depth)
        parts: list[Span | tuple[Span, int]] = []
        if len(one.attempts) > 1:
            parts += [(one, number) for number in range(len(one.attempts))]
        parts += one.children
        below = [(part, (*last, number == len(parts) - 1), depth + 1) for number, part in enumerate(parts)]
        ahead += reversed(below)


def _row(trace: Trace, span: Span, last: tuple[bool, ...], depth: int) -> Row:
    end = span.end if span.end is not None else trace.now if span.state in GOES_ON else span.begin
    whole = quick(max(0.0, end - span.begin)) if span.begin is not None and end is not None else ""
    if span.kind == "request":
        segments = (
            (Segment("request", span.begin, span.end),) if span.begin is not None and span.end is not None else ()
        )
        return Row(depth, last, span.name, span.who, whole, span.state, "·", segments)
    if span.kind != "task":
        parts = span.parts
        took = f"{span.done} of {len(parts)} done · {whole}"
        return Row(depth, last, f"{span.kind} of {span.name}", "", took, span.state, mark(span.state))
    several = len(span.attempts) > 1
    only = span.attempts[0] if span.attempts else Attempt("unknown")
    return Row(
        depth,
        last,
        f"{short(span.name)} {span.task_id[:_SHORT]}",
        "" if several else span.who,
        f"{len(span.attempts)} attempts · {whole}" if several else _took(only, trace.now),
        span.state,
        mark(span.state),
        tuple(segment for one in span.attempts for segment in _segments(one, trace.now)),
        tuple(_notes(trace, span, only, several=several)),
        span.task_id,
    )


def _attempt(trace: Trace, span: Span, number: int, last: tuple[bool, ...], depth: int) -> Row:
    one = span.attempts[number]
    name = "replay" if one.replay else f"attempt {number + 1}"
    notes = (*_said(one), *_logged(trace, span, number))
    took = _took(one, trace.now)
    return Row(depth, last, name, one.worker, took, one.state, mark(one.state), tuple(_segments(one, trace.now)), notes)


def _notes(trace: Trace, span: Span, only: Attempt, *, several: bool) -> Iterator[tuple[Mark, str]]:
    if not several:
        yield from _said(only)
        yield from _logged(trace, span, 0)
    where = trace.where.get(span.task_id)
    if where is not None and not (where.state == "running" and span.attempts[-1].began is not None):
        yield "●", place(where, trace.now)
    if span.state == "dead":
        letter = trace.letters.get(span.task_id)
        yield "✘", f"dead letter {letter}" if letter else "its dead letter is gone: replayed or dropped"


def _said(one: Attempt) -> Iterator[tuple[Mark, str]]:
    """What an attempt says of itself beyond its mark."""
    word = _WORDS.get(one.state, one.state)
    plain = one.state in ("succeeded", "unknown", *GOES_ON)
    said = one.error or ("" if plain else word)
    if one.reason:
        said = f"{said} ({one.reason})" if said else one.reason
    if said:
        yield mark(one.state), said
    if one.progress is not None or one.note:
        share = f"{one.progress:.0%} " if one.progress is not None else ""
        yield "●", f"{share}{one.note}".strip()


def _logged(trace: Trace, span: Span, number: int) -> Iterator[tuple[Mark, str]]:
    for line in trace.output.get((span.task_id, number), ()):
        yield "·", line


def place(where: Where, now: float) -> str:
    """`waits since 3s behind 12 others in images`."""
    since = f" since {age(now - where.since)}" if where.since is not None and now >= where.since else ""
    queue = f" in {where.queue}" if where.queue else ""
    match where.state:
        case "waiting":
            others = (
                "" if where.behind is None else ", is next" if where.behind == 0 else f" behind {_others(where.behind)}"
            )
            why = "; the queue is paused: devctl queues resume " + where.queue if where.paused else ""
            why = why or ("; no worker claims from it: its dead letters are at their bound" if where.stopped else "")
            return f"waits{since}{others}{queue}{why}"
        case "due":
            soon = where.due - now if where.due is not None else None
            return f"due in {duration(soon)}{queue}" if soon is not None and soon > 0 else f"due now{queue}"
        case "claimed":
            by = f" by {where.worker}" if where.worker else ""
            return f"claimed{by}{since}, and has not begun"
        case "running":
            return f"runs{since}" + (f" on {where.worker}" if where.worker else "")
        case "gone":
            return "its message is in no queue any more, and no worker has it: somebody removed it, or Redis lost it"


def _others(count: int) -> str:
    return "1 other" if count == 1 else f"{count:,} others"


def _took(one: Attempt, now: float) -> str:
    """`wait 0.9ms run 12ms`."""
    parts = []
    taken = next(
        (at for at in (one.claimed, one.began) if at is not None), now if one.state in GOES_ON else one.settled
    )
    ready = one.queued
    if one.due is not None and one.queued is not None and one.due > one.queued:
        ready = one.due
        parts.append(f"due {quick(one.due - one.queued)}")
    if one.state == "returned" and taken is not None and one.settled is not None:
        parts.append(f"held {quick(one.settled - taken)}")
    begin = one.began if one.began is not None else taken
    if ready is not None and begin is not None and begin >= ready:
        parts.append(f"wait {quick(begin - ready)}")
    if one.began is not None:
        end = one.ended if one.ended is not None else now if one.state in GOES_ON else one.settled
        if end is not None:
            parts.append(f"run {quick(max(0.0, end - one.began))}")
        if one.ended is not None and one.settled is not None and one.settled - one.ended >= _LONG_COMMIT:
            parts.append(f"commit {quick(one.settled - one.ended)}")
    return " ".join(parts)


def _segments(one: Attempt, now: float) -> Iterator[Segment]:
    last = now if one.state in GOES_ON else one.settled
    begin = one.began if one.began is not None else last
    ready = one.queued if one.queued is not None else one.claimed
    if one.due is not None and one.queued is not None and one.due > one.queued:
        ready = min(one.due, begin) if begin is not None else one.due
        yield Segment("due", one.queued, ready)
    if ready is not None and begin is not None and begin > ready:
        yield Segment("wait", ready, begin)
    if one.began is not None:
        end = one.ended if one.ended is not None else last
        yield Segment("run", one.began, max(one.began, end if end is not None else one.began))


def headline(trace: Trace) -> str:
    """`142ms from POST /api/images to the last commit: ran 128ms, waited 12ms`."""
    if all(span.begin is None for span in trace.walk()):
        return "its times are not recorded"
    took, shares = trace.end - trace.begin, trace.shares
    request = next((span for span in trace.spans if span.kind == "request"), None)
    published = any(one.attempts and one.attempts[0].queued == trace.begin for one in trace.tasks)
    first = f"from {request.name}" if request else "from publishing" if published else "from the first record"
    last = "until now" if not trace.ended else "to the last commit"
    named = (
        ("ran", shares.ran),
        ("waited", shares.waited),
        ("claimed and not begun", shares.claimed),
        ("committing", shares.commit),
        ("held and given back", shares.returned),
        ("not due", shares.due),
        ("a dead letter", shares.dead),
        ("request", shares.request),
        ("not recorded", shares.other),
    )
    worth = [(name, seconds) for name, seconds in named if seconds >= max(0.0005, took / 1_000)]
    where = ", ".join(f"{name} {quick(seconds)}" for name, seconds in sorted(worth, key=lambda one: -one[1]))
    return f"{quick(took)} {first} {last}" + (f": {where}" if where else "")


def summary(trace: Trace) -> str:
    """How many tasks, and how they ended."""
    tasks = trace.tasks
    counts: dict[str, int] = {}
    for one in tasks:
        counts[_WORDS.get(one.state, one.state)] = counts.get(_WORDS.get(one.state, one.state), 0) + 1
    states = ", ".join(f"{count} {word}" for word, count in counts.items())
    of = states if len(counts) > 1 or len(tasks) == 1 else f"all {next(iter(counts), '')}"
    return f"{len(tasks)} tasks: {of}" if len(tasks) != 1 else f"1 task, {next(iter(counts))}"


def mark(state: State) -> Mark:
    return _MARKS.get(state, "·")


def quick(seconds: float) -> str:
    """`0.8ms`, `12ms`, `1.3s`."""
    return f"{seconds * 1000:.0f}ms" if 0.01 <= seconds < 0.9995 else milliseconds(seconds)


def short(task: str) -> str:
    """The last word of a task's name."""
    return task.rpartition(".")[2]


def unknown(
    asked: str, found: Unknown, clock: Callable[[float], datetime] = datetime.fromtimestamp
) -> tuple[str, list[str]]:
    """The problem, and what it means."""
    problem = f"nothing is known of {asked}"
    if found.reason == "stock":
        return problem, [found.why]
    if found.reason == "off":
        return problem, ["no step of any task is recorded here: records are off (CELERY_LIFE_LENGTH=0)"]
    assert found.oldest is not None
    back = clock(found.oldest).strftime("%Y-%m-%d %H:%M:%S")
    if found.reason == "expired":
        return problem, [f"it was published before the records begin ({back}), and what it left has expired"]
    return problem, [f"it was never seen here, or it ended before the records begin ({back})"]
