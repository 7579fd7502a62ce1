"""How long a bench takes: guessed before its first run, and known better with each."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from devctl.bench.plan import Plan

AROUND_SECONDS = 0.6
"""Of a run, beside its work: the backlog is published, workers are told to begin and to end, the ledger is read."""
WARM_UP = 1.5
"""A warm-up takes so much longer than asked for: it begins with a guess, and may have to try again."""
GUESSED_RATE = 2_000.0
"""Tasks a second of a worker whose tasks' length nobody knows."""


class Pace:
    """Seconds that each point of a plan takes, and what is still to come."""

    def __init__(self, plan: Plan, slots: int = 1) -> None:
        self._warm_up = plan.warmup * WARM_UP + AROUND_SECONDS if plan.warmup else 0.0
        self._planned = {workers: _run_seconds(plan, workers * slots) + AROUND_SECONDS for workers in plan.workers}
        self._took: dict[int, list[float]] = {workers: [] for workers in plan.workers}
        self._cold = list(plan.workers)
        self._to_come = [workers for order in plan.rounds() for workers in order]

    def warmed_up(self, workers: int, run_seconds: float | None = None) -> None:
        """This point's warm-up is over, or left out; it may say how long the work of a run will take."""
        self._cold.remove(workers)
        if run_seconds is not None:
            self._planned[workers] = run_seconds + AROUND_SECONDS

    def ran(self, workers: int, seconds: float) -> None:
        """A run of this point is over, and took so long with all around it."""
        self._to_come.remove(workers)
        self._took[workers].append(seconds)

    def left(self, since: float = 0.0) -> float:
        """Seconds until the last run is over; what goes on now has gone on for `since`."""
        now, *later = [*(self._warm_up for _ in self._cold), *map(self._of, self._to_come), 0.0]
        return max(0.0, now - since) + sum(later)

    def _of(self, workers: int) -> float:
        took: Sequence[float] = self._took[workers]
        return fmean(took) if took else self._planned[workers]


def _run_seconds(plan: Plan, slots: int) -> float:
    if plan.tasks is None:
        return plan.run_seconds
    if plan.task.milliseconds:
        return plan.tasks * plan.task.milliseconds / 1_000 / slots
    return plan.tasks / (GUESSED_RATE * slots)
