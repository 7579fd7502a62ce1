"""The rows of the comparison: how each is measured, in which figures, and what ours must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from measure import Bench, Run
from peers import Peer, Setup

EVERY = "every"  # a target against every peer that has no one of its own; the bare loops are floors, not peers
FLOORS = ("bare", "lean")


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


def _rate(title: str, *times: tuple[str, float], least: float | None = None) -> tuple[Figure, ...]:
    return (Figure("rate", title, "/s", times=times, least=least),)


ROWS = (
    Row(
        "a",
        "no-op, drain of a backlog, no results",
        lambda bench, peer: bench.drain(peer, "noop", Setup()),
        _rate("no-op, no results", ("celery", 45), ("dramatiq", 16), ("taskiq", 9), ("bare", 1)),
    ),
    Row(
        "b",
        "no-op with results (ours: result, record and acknowledgement in one step)",
        lambda bench, peer: bench.drain(peer, "noop", Setup(results=True)),
        _rate("no-op, results", ("celery", 30), ("bare", 1), (EVERY, 1)),
    ),
    Row(
        "c",
        "process_order: pydantic payload and result, one notification published, results (ours: record)",
        lambda bench, peer: bench.drain(peer, "order", Setup(results=True)),
        _rate("process_order", ("celery", 15), (EVERY, 5)),
    ),
    Row(
        "d",
        "publish from one process (ours: once-only)",
        Bench.publish,
        (
            Figure("loop", "publish, one by one", "/s", times=(("celery", 3),)),
            Figure("bulk", "publish, many at once", "/s", times=(("celery", 25),), of="loop"),
        ),
    ),
    Row(
        "e",
        "publish to start at 1,000/s, open loop",
        Bench.latency,
        (
            Figure("p99", "publish → start, p99", " ms", False, times=((EVERY, 1),), most=4),
            Figure("p50", "publish → start, p50", " ms", False),
        ),
    ),
    Row(
        "f",
        "tasks that wait 10 ms, one process, 32 at a time: ideal 3,200/s (Celery: its thread pool)",
        Bench.waits,
        _rate("10 ms waits", least=0.9 * 3_200),
    ),
    Row(
        "g",
        "one worker: memory, CPU while idle, lateness of a task with a due time",
        Bench.footprint,
        (
            Figure("pss", "memory (PSS)", " MiB", False, times=(("celery-solo", 1.05),)),
            Figure("idle", "idle CPU", " %", False, most=0.5, compared=False),
            Figure("due_p99", "due → start, p99", " ms", False, most=20, compared=False),
            Figure("due_p50", "due → start, p50", " ms", False, compared=False),
        ),
    ),
)
BY_LETTER = {row.letter: row for row in ROWS}


def target(figure: Figure, peer: str) -> float | None:
    """What ours over this peer's must reach, or stay below."""
    for name, times in figure.times:
        if name == peer or (name == EVERY and peer not in FLOORS and peer != "ours"):
            return times
    return None
