"""How long a bench takes: guessed before its first run, and known better with each."""

from __future__ import annotations

from statistics import fmean

from devctl.bench.plan import Plan, size

AROUND_SECONDS = 0.9
"""Of each backlog, beside its work: workers are told to begin and to end, and what they still hold is waited for."""
SECONDS_PER_TASK = 65e-6
"""To publish a task, and to read it in the ledger."""
ATTEMPTS = 2
"""Of a warm-up: it begins with a guess."""
USUAL_RATES = {"noop": 12_000.0, "contract": 2_000.0}
"""Tasks a second, where the task itself does not say; more workers seldom do much more of them on one machine."""


class Pace:
    """Seconds that each point of a plan takes, and what is still to come."""

    def __init__(self, plan: Plan, slots: int = 1) -> None:
        self._run: dict[int, float] = {}
        self._warm_up: dict[int, float] = {}
        for workers in plan.workers:
            rate = _rate(plan, workers * slots)
            tasks = plan.tasks or size(rate, plan.run_seconds, workers)
            self._run[workers] = _seconds(tasks, rate)
            if plan.warmup:
                self._warm_up[workers] = _seconds(rate * plan.warmup, rate, ATTEMPTS)
        self._took: dict[int, list[float]] = {workers: [] for workers in plan.workers}
        self._to_come = [workers for order in plan.rounds() for workers in order]

    def warmed_up(self, workers: int, tasks: int, rate: float) -> None:
        """This point's warm-up is over: each of its runs will have so many tasks, done at this rate."""
        self._warm_up.pop(workers)
        self._run[workers] = _seconds(tasks, rate)

    def ran(self, workers: int, seconds: float) -> None:
        """A run of this point is over, and took so long with all around it."""
        self._to_come.remove(workers)
        self._took[workers].append(seconds)
        self._run[workers] = fmean(self._took[workers])

    def left(self, since: float = 0.0) -> float:
        """Seconds until the last run is over; what goes on now has gone on for `since`."""
        now, *later = [*self._warm_up.values(), *(self._run[workers] for workers in self._to_come), 0.0]
        return max(0.0, now - since) + sum(later)


def _rate(plan: Plan, slots: int) -> float:
    known = plan.task.milliseconds
    return 1_000 / known * slots if known else USUAL_RATES[plan.task.kind]


def _seconds(tasks: float, rate: float, backlogs: int = 1) -> float:
    return tasks / rate + tasks * SECONDS_PER_TASK + backlogs * AROUND_SECONDS
