"""What one run showed: the audit of its executions, and the steady stretch of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devctl.bench.counting.port import Count
from devctl.broker.port import Execution

LEAST_SECONDS = 0.02
"""Of a steady stretch: a worker claims a few tasks at a time and ends them together, in milliseconds."""


@dataclass(frozen=True)
class Load:
    """CPU that was used while a run drained, in CPUs: 1.0 is one core kept busy."""

    workers: float
    broker: float
    machine: float
    seconds: float

    @property
    def others(self) -> float:
        """What programs outside the stack used."""
        return max(0.0, self.machine - self.workers - self.broker)


@dataclass(frozen=True)
class Audit:
    """Published = executed exactly once each, or not. Counts of task ids, not of executions."""

    published: int
    executed: int
    """Published ids that ran at least once."""
    lost: int
    """Published ids that never ran."""
    duplicated: int
    """Published ids that ran more than once."""
    unknown: int = 0
    """Ids that ran and were never published by this run."""
    failed: int = 0
    """Of those that ran, ids that ended in failure, where that is known."""
    unproved: int = 0
    """Published ids of which nothing says what became of them: neither done nor lost."""

    @property
    def clean(self) -> bool:
        """Whether every published task is known to have run exactly once, and nothing else did."""
        return not (self.lost or self.duplicated or self.unknown or self.unproved)

    def __add__(self, other: Audit) -> Audit:
        return Audit(
            self.published + other.published,
            self.executed + other.executed,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.unknown + other.unknown,
            self.failed + other.failed,
            self.unproved + other.unproved,
        )


def audit(published: Iterable[str], count: Count) -> Audit:
    """Compare what was published with what ran, id by id."""
    wanted = set(published)
    ran = Counter(execution.task_id for execution in count.executions)
    executed = wanted & (ran.keys() | count.unseen)
    return Audit(
        published=len(wanted),
        executed=len(executed),
        lost=len(wanted) - len(executed) - len(count.unknown),
        duplicated=sum(ran[task_id] > 1 or task_id in count.started_again for task_id in wanted),
        unknown=len(ran.keys() - wanted),
        failed=len(count.failed),
        unproved=len(count.unknown),
    )


@dataclass(frozen=True)
class Window:
    """The steady stretch of a run: every worker is at work from its start to its end."""

    start: float
    end: float
    completions: int
    """Unique task ids that completed after `start`, up to and including `end`."""
    halves: tuple[int, int] = field(default=(0, 0))
    """The same, in the first and in the second half of the time."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def rate(self) -> float:
        """Completions per second; 0 where it is too short."""
        return 0.0 if self.too_short else self.completions / self.seconds

    @property
    def too_short(self) -> bool:
        """Whether no rate follows from it: too few tasks to have all workers at work, or only for a moment."""
        return self.seconds < LEAST_SECONDS


def steady(executions: Sequence[Execution]) -> Window:
    """From when the last worker has finished its first task to when the first worker finishes its last one.

    Before, workers are still joining; after, the backlog is dry and workers go idle one by one: neither is capacity.
    A task that ran twice completed when it first did.
    """
    completed: dict[str, tuple[float, str]] = {}
    for execution in executions:
        known = completed.get(execution.task_id)
        if known is None or execution.finished < known[0]:
            completed[execution.task_id] = (execution.finished, execution.worker)
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for finished, worker in completed.values():
        first[worker] = min(finished, first.get(worker, finished))
        last[worker] = max(finished, last.get(worker, finished))
    if not completed:
        return Window(0.0, 0.0, 0)
    start, end = max(first.values()), min(last.values())
    if end <= start:  # a worker with a single task, or workers that took turns: no moment when all were at work
        return Window(start, start, 0)
    inside = [finished for finished, _ in completed.values() if start < finished <= end]
    middle = (start + end) / 2
    early = sum(finished <= middle for finished in inside)
    return Window(start, end, len(inside), (early, len(inside) - early))


def shares(executions: Iterable[Execution]) -> dict[str, int]:
    """Worker -> how many executions were its."""
    return dict(Counter(execution.worker for execution in executions))


@dataclass(frozen=True)
class Observation:
    """One run, in figures. Its executions are not kept in memory: a bench has millions of them."""

    run: str
    round: int
    tasks: int
    """That were published."""
    publish_seconds: float
    seconds: float
    """From the first start of a task to the last end of one."""
    window: Window
    audit: Audit
    shares: Mapping[str, int]
    nodes: tuple[str, ...]
    """The workers that were told to take part."""
    load: Load | None = None
    unseen: int = 0
    """Ids that are done by their result alone: their end was not heard."""

    @property
    def workers(self) -> int:
        """How many they are."""
        return len(self.nodes)


def observe(
    run: str,
    round_: int,
    nodes: Sequence[str],
    published: Collection[str],
    publish_seconds: float,
    count: Count,
    load: Load | None,
) -> Observation:
    """Make it of the ids that were published and of what ran."""
    executions = count.executions
    begun = min((one.started for one in executions), default=0.0)
    ended = max((one.finished for one in executions), default=0.0)
    return Observation(
        run=run,
        round=round_,
        tasks=len(published),
        publish_seconds=publish_seconds,
        seconds=ended - begun,
        window=steady(executions),
        audit=audit(published, count),
        shares=shares(executions),
        nodes=tuple(nodes),
        load=load,
        unseen=len(count.unseen),
    )
