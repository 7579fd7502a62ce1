"""The way of a task through all services. Times are unix seconds by Redis's clock; None: not yet, or not recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

State = Literal[
    "due",  # it is not to run yet
    "waiting",
    "claimed",
    "running",
    "retried",
    "returned",  # it went back to its queue
    "succeeded",
    "failed",
    "dead",
    "revoked",
    "ignored",
    "rejected",
    "repeated",  # the work was done before: its outcome changed nothing
    "refused",  # its outcome came too late: another worker had the message
    "dropped",
    "unknown",
]
GOES_ON: frozenset[State] = frozenset({"due", "waiting", "claimed", "running"})
_WORST_FIRST: tuple[State, ...] = (
    *("dead", "failed", "rejected", "running", "claimed", "waiting", "due", "dropped", "revoked"),
    *("succeeded", "ignored", "repeated", "refused", "returned", "retried"),
)
BAD: frozenset[State] = frozenset({"failed", "dead", "rejected"})


@dataclass(frozen=True)
class Attempt:
    """One message of a task, from its queue to its end. Each retry, return and replay begins another one."""

    state: State
    tag: str = ""
    queued: float | None = None
    due: float | None = None
    """When it was to run, if not at once."""
    claimed: float | None = None
    began: float | None = None
    """Its body."""
    ended: float | None = None
    """Its body."""
    settled: float | None = None
    """When Redis had what became of it."""
    worker: str = ""
    error: str = ""
    reason: str = ""
    replay: bool = False
    """Somebody replayed its dead letter."""
    progress: float | None = None
    note: str = ""

    @property
    def begin(self) -> float | None:
        """The first that is known of it."""
        return next((one for one in (self.queued, self.claimed, self.began, self.settled) if one is not None), None)


@dataclass(frozen=True)
class Where:
    """Where the message of a task is now, that has not ended."""

    state: Literal["waiting", "due", "claimed", "running", "gone"]
    queue: str = ""
    behind: int | None = None
    """How many messages are taken before it; None: not counted."""
    since: float | None = None
    due: float | None = None
    worker: str = ""
    paused: bool = False
    """Somebody paused its queue."""
    stopped: bool = False
    """Workers do not claim from its queue: its dead letters are at their bound."""


@dataclass(frozen=True)
class Span:
    """A request, a task, or the parts of a group or a chord."""

    kind: Literal["request", "task", "group", "chord"]
    name: str
    """`POST /api/images`, or the task; of a group, how many parts there are."""
    who: str = ""
    """The service that answers the request; the worker that has, or had, the task last."""
    task_id: str = ""
    queue: str = ""
    begin: float | None = None
    end: float | None = None
    state: State = "unknown"
    error: str = ""
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    children: tuple[Span, ...] = ()
    group_id: str = ""
    chord: str = ""
    """The id of the chord's body."""
    publisher: str = ""
    """The service or worker that published it; "" where that is not recorded."""

    @property
    def done(self) -> int:
        """Of a group: how many parts have ended well."""
        return sum(one.state == "succeeded" for one in self.parts)

    @property
    def parts(self) -> tuple[Span, ...]:
        """Of a group: its tasks, without the body of the chord."""
        return tuple(one for one in self.children if one.group_id == self.group_id and one.task_id != self.chord)


@dataclass(frozen=True)
class Shares:
    """Where the time between begin and end went; each moment counts once, for the first of these that it fits."""

    ran: float = 0.0
    commit: float = 0.0
    """Its body had ended, and Redis did not have the outcome."""
    claimed: float = 0.0
    """A worker had it, and its body had not begun."""
    returned: float = 0.0
    """A worker had it and gave it back, or died with it."""
    waited: float = 0.0
    due: float = 0.0
    """It was not to run yet: the wait of a retry, a countdown."""
    dead: float = 0.0
    """It was a dead letter, before its replay."""
    request: float = 0.0
    other: float = 0.0
    """Nothing of it was recorded."""


@dataclass(frozen=True)
class Trace:
    """Everything that belongs together."""

    asked: str
    correlation_id: str
    spans: tuple[Span, ...]
    now: float
    gaps: tuple[str, ...] = ()
    """What is not recorded, a sentence each."""
    where: Mapping[str, Where] = field(default_factory=dict)
    """Task id -> where its message is now, of those that have not ended."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """Task id -> the id of its dead letter, where there still is one."""
    output: Mapping[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    """Task id and number of the attempt, from 0 on -> the lines that it logged; empty where nobody asked for them."""

    def walk(self) -> Iterator[Span]:
        """All spans, from top to bottom."""
        ahead = [*reversed(self.spans)]
        while ahead:
            span = ahead.pop()
            yield span
            ahead += reversed(span.children)

    @cached_property
    def tasks(self) -> list[Span]:
        """All tasks."""
        return [one for one in self.walk() if one.kind == "task"]

    @cached_property
    def begin(self) -> float:
        """The first that is known."""
        return min((one.begin for one in self.walk() if one.begin is not None), default=self.now)

    @cached_property
    def ended(self) -> bool:
        """Nothing goes on, as far as it is recorded."""
        return not any(one.state in GOES_ON for one in self.tasks)

    @cached_property
    def end(self) -> float:
        """The last that is known; now, if something goes on."""
        ends = [one.end for one in self.walk() if one.end is not None]
        return max([self.begin, *ends, *([] if self.ended else [self.now])])

    @cached_property
    def state(self) -> State:
        """The worst of all tasks; what goes on comes before what has ended well."""
        states = {one.state for one in self.tasks}
        return next((one for one in _WORST_FIRST if one in states), "unknown")

    @cached_property
    def shares(self) -> Shares:
        """Where the time went."""
        return _shares(self)


_ORDER = ("ran", "commit", "claimed", "returned", "waited", "due", "dead", "request")


def _shares(trace: Trace) -> Shares:
    changes: list[tuple[float, int, str]] = [(trace.begin, 0, ""), (trace.end, 0, "")]
    for name, begin, end in _pieces(trace):
        if begin is not None and end is not None and end > begin:
            changes += [(begin, 1, name), (end, -1, name)]
    totals, open_ = dict.fromkeys([*_ORDER, "other"], 0.0), dict.fromkeys(_ORDER, 0)
    before = trace.begin
    for at, change, name in sorted(changes):
        if at > before:
            totals[next((kind for kind in _ORDER if open_[kind]), "other")] += at - before
            before = at
        if change:
            open_[name] += change
    return Shares(**totals)


def _pieces(trace: Trace) -> Iterator[tuple[str, float | None, float | None]]:
    for span in trace.walk():
        if span.kind == "request":
            yield "request", span.begin, span.end
        for one in span.attempts:
            last = one.settled if one.settled is not None else (trace.now if one.state in GOES_ON else one.begin)
            taken = next((at for at in (one.claimed, one.began) if at is not None), last)
            ready = one.queued if one.queued is None or one.due is None else max(one.queued, one.due)
            yield "due", one.queued, ready if ready is None or taken is None else min(ready, taken)
            yield "waited", ready, taken
            back = one.state == "returned"
            yield "returned" if back else "claimed", taken, last if back or one.began is None else one.began
            yield "commit", one.ended, last
            yield "ran", one.began, one.ended if one.ended is not None else last
        for one, following in zip(span.attempts, span.attempts[1:], strict=False):
            if following.replay:
                yield "dead", one.settled, following.queued
