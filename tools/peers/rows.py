"""The rows of the comparison: how each is measured, in which figures, and what ours must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from measure import Bench, Run
from peers import BY_NAME, LATE, OURS, Peer, Setup

EVERY = "every"  # a target against every peer that has no one of its own; LATE is one against those at least once
FLOORS = ("bare", "lean")  # no peers: what they promise is less


@dataclass(frozen=True)
class Figure:
    """One number of a row."""

    key: str
    title: str
    unit: str
    more_is_better: bool = True
    times: tuple[tuple[str, float], ...] = ()
    """(peer, n): ours must be at least n times the peer's; where less is better, at most."""
    of: str = ""
    """Compare with this figure of the peer, not with the same one."""
    least: float | None = None
    most: float | None = None
    compared: bool = True
    """Whether a ratio means anything."""


@dataclass(frozen=True)
class Row:
    letter: str
    title: str
    measure: Callable[[Bench, Peer], Run]
    figures: tuple[Figure, ...]
    most_rounds: int = 100


def _rate(title: str, *times: tuple[str, float], least: float | None = None) -> tuple[Figure, ...]:
    return (Figure("rate", title, "/s", times=times, least=least),)


ROWS = (
    Row(
        "a",
        "no-op, drain of a backlog, no results",
        lambda bench, peer: bench.drain(peer, "noop", Setup()),
        _rate("no-op, no results", ("bare", 0.9), (EVERY, 1)),
    ),
    Row(
        "b",
        "no-op with results (ours: result, record and acknowledgement in one step)",
        lambda bench, peer: bench.drain(peer, "noop", Setup(results=True)),
        _rate("no-op, results", ("bare", 0.9), (EVERY, 1)),
    ),
    Row(
        "c",
        "process_order: pydantic payload and result, one notification published, results (ours: record)",
        lambda bench, peer: bench.drain(peer, "order", Setup(results=True)),
        _rate("process_order", ("celery", 20), (LATE, 6), (EVERY, 1)),
    ),
    Row(
        "d",
        "publish from one process (ours: once-only)",
        Bench.publish,
        (
            Figure("loop", "publish, one by one", "/s", times=(("celery", 3), ("huey", 1))),
            Figure("bulk", "publish, many at once", "/s", times=(("celery", 25),), of="loop"),
        ),
    ),
    Row(
        "e",
        "publish to start at 1,000/s, open loop",
        Bench.latency,
        (
            Figure("p99", "publish → start, p99", " ms", False, times=((EVERY, 1),), most=0.8),
            Figure("p50", "publish → start, p50", " ms", False, times=((EVERY, 1),)),
        ),
    ),
    Row(
        "f",
        "tasks that wait 10 ms, one process, 32 at a time: ideal 3,200/s (Celery: its thread pool)",
        Bench.waits,
        _rate("10 ms waits", least=3_100),
    ),
    Row(
        "g",
        "one worker: memory, CPU while idle, lateness of a task with a due time",
        Bench.footprint,
        (
            Figure("pss", "memory (PSS)", " MiB", False),
            Figure("idle", "idle CPU", " %", False, most=0.3, compared=False),
            Figure("due_p99", "due → start, p99", " ms", False, most=20, compared=False),
            Figure("due_p50", "due → start, p50", " ms", False, compared=False),
        ),
        most_rounds=3,
    ),
    Row(
        "h",
        "one worker of a plain app, with celeriac.install(app) and without, in the same pool: no-ops with results",
        Bench.plain,
        (
            Figure("threads", "plain app, -P threads -c 2", "/s", times=(("celery", 20),)),
            Figure("prefork", "plain app, -P prefork -c 2", "/s", times=(("celery", 20),)),
            Figure("solo", "plain app, -P solo", "/s", times=(("celery", 20),)),
            Figure("pss", "plain app, memory (PSS), -P threads -c 1", " MiB", False, times=(("celery", 1.05),)),
        ),
    ),
    Row(
        "i",
        "tasks that wait 10 ms: one worker with one thread, and ten",
        Bench.scaling,
        (
            Figure("times", "1 → 10 workers", " ×", least=9),
            Figure("of_10", "10 workers", "/s"),
        ),
    ),
)
BY_LETTER = {row.letter: row for row in ROWS}


def target(figure: Figure, peer: str) -> float | None:
    """What ours over this peer's must reach, or stay below."""
    for name, times in figure.times:
        if name == peer or (peer not in (*FLOORS, OURS) and name in (EVERY, BY_NAME[peer].guarantee)):
            return times
    return None
