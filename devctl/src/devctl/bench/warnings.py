"""What makes a figure less than it seems, as values with advice; the wording of all of them is here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devctl.bench.counting.port import Way
from devctl.bench.environment import Environment
from devctl.bench.observation import Observation
from devctl.bench.statistics import Estimate, coverage, outliers, steadily, trend
from devctl.broker.port import QueueDepth

BUSY_LOAD = 0.5  # of the CPUs: half of the machine has other work
NOISE = "end other work on this machine, or raise --repeats"
LONGER = "raise --seconds, or --tasks where it is given"
FEWEST_FOR_OUTLIERS = 5  # of three runs, one is always far from the other two

OTHER_PROGRAMS = 0.15  # of the CPUs, while runs were measured
WIDE_INTERVAL = 0.10
MOST_EFFICIENCY = 1.10
LEAST_COVERAGE = 0.90
SHORT_WINDOW_SECONDS = 1.0
FEW_COMPLETIONS = 100
LEAST_STEADY_SHARE = 0.5
LEAST_WORKER_SHARE = 0.5  # of an equal share of the tasks
STEADY_DRIFT = 0.10


@dataclass(frozen=True)
class Caution:
    """One reason to doubt, and what to do about it."""

    code: str
    message: str
    advice: str
    workers: int | None = None
    """The point it is about; None: the whole bench."""


def of_environment(environment: Environment, depths: Sequence[QueueDepth]) -> Iterator[Caution]:
    """Look at the conditions before the first run."""
    machine = environment.machine
    if machine.load_average is not None and machine.load_average > BUSY_LOAD * machine.cpus:
        yield Caution(
            "noisy-machine",
            f"the machine was busy before: load {machine.load_average:.1f} on {machine.cpus} CPUs",
            NOISE,
        )
    waiting = [depth for depth in depths if depth.waiting or depth.claimed]
    if waiting:
        names = ", ".join(f"{depth.name} {depth.waiting + (depth.claimed or 0):,}" for depth in waiting[:3])
        yield Caution(
            "other-work",
            f"the same workers have other work: {names}",
            "bench when the queues are empty, or on a stack of its own: devctl up --isolated",
        )


def of_repeats(repeats: int) -> Iterator[Caution]:
    """Look at how many runs there are."""
    if coverage(repeats) < LEAST_COVERAGE:
        yield Caution(
            "few-runs",
            f"{repeats} runs are too few for a 95% interval: the one shown is of {coverage(repeats):.0%}",
            "--repeats 6 is the least for 95%",
        )


def of_scaling(workers: int, efficiency: float | None) -> Iterator[Caution]:
    """Look at the growth: more than linear is a disturbed comparison, seldom a discovery."""
    if efficiency is not None and efficiency > MOST_EFFICIENCY:
        yield Caution("superlinear", f"an efficiency of {efficiency:.0%}: other points were disturbed", NOISE, workers)


def of_point(
    workers: int, throughput: Estimate | None, runs: Sequence[Observation], environment: Environment, way: Way
) -> Iterator[Caution]:
    """Look at the runs of one number of workers, in the order in which they were measured."""
    cpus, slots = environment.machine.usable, workers * environment.workers.slots
    if slots > cpus:
        each = environment.workers.slots
        tasks = f" with {each} tasks at a time" if each > 1 else ""
        yield Caution(
            "oversubscribed",
            f"oversubscribed: {workers} workers{tasks}, {cpus:g} CPUs",
            "only tasks that wait can gain from more of them than CPUs",
            workers,
        )
    if throughput:
        yield from _of_lengths(workers, runs)
        yield from _of_spread(workers, throughput, [run.window.rate for run in runs])
    else:
        short = sum(run.window.too_short for run in runs)
        yield Caution(
            "short-run",
            f"{short} of {len(runs)} runs were too short for a rate",
            LONGER,
            workers,
        )
    others = [one.load.others for one in runs if one.load is not None]
    if others and max(others) > OTHER_PROGRAMS * cpus:
        yield Caution(
            "noisy-runs",
            f"other programs used up to {max(others):.1f} of {cpus:g} CPUs meanwhile",
            NOISE,
            workers,
        )
    if not throughput or way == "results":  # which do not say whose they are
        return
    idle = [node for one in runs for node in one.nodes if node not in one.shares]
    if idle:
        yield Caution("idle-worker", f"{idle[0]} took no task", "devctl logs shows why", workers)
    elif any(_uneven(one) for one in runs):
        yield Caution("uneven", "some workers took less than half their share of the tasks", LONGER, workers)


def of_counting(way: Way, runs: Sequence[Observation]) -> Iterator[Caution]:
    """Look at what is known of the tasks."""
    if unproved := sum(run.audit.unproved for run in runs):
        yield Caution(
            "unproved",
            f"nothing says what became of {unproved:,} tasks: no event, no result",
            "with a result backend, what is done is kept",
        )
    if unseen := sum(run.unseen for run in runs):
        yield Caution(
            "unseen",
            f"{unseen:,} ends were not heard: their results say when they were",
            "Redis drops events that nobody reads, and some pools of Celery lose them",
        )
    if failed := sum(run.audit.failed for run in runs):
        yield Caution(
            "failed", f"{failed:,} tasks ended in failure", "devctl logs --level error shows why; --args gives others"
        )
    if way == "results" and any(run.workers > 1 for run in runs):
        yield Caution(
            "no-workers",
            "results name no worker: the time when not all are at work counts, too",
            "raise --seconds",
        )


def _of_lengths(workers: int, runs: Sequence[Observation]) -> Iterator[Caution]:
    shortest = min(run.window.seconds for run in runs)
    if shortest < SHORT_WINDOW_SECONDS:
        yield Caution(
            "short-run",
            f"the steady part of a run took only {shortest:.2f}s",
            LONGER,
            workers,
        )
    elif any(run.window.completions < LEAST_STEADY_SHARE * run.tasks for run in runs):
        yield Caution("unsteady", "less than half of a run's tasks were done in its steady part", LONGER, workers)
    fewest = min(run.window.completions for run in runs)
    if fewest < FEW_COMPLETIONS:
        yield Caution("few-tasks", f"only {fewest} completions in a run", LONGER, workers)
    changes = [(late - early) / max(1, early + late) * 2 for early, late in (run.window.halves for run in runs)]
    if all(change > STEADY_DRIFT for change in changes) or all(change < -STEADY_DRIFT for change in changes):
        word = "rises" if changes[0] > 0 else "falls"
        yield Caution(
            "drift-in-run",
            f"the rate {word} within each run, by {abs(changes[0]):.0%} from one half to the next",
            "raise --warmup and --seconds",
            workers,
        )


def _of_spread(workers: int, throughput: Estimate, rates: Sequence[float]) -> Iterator[Caution]:
    if throughput.relative_width > WIDE_INTERVAL:
        yield Caution(
            "wide-interval",
            f"the interval is {throughput.relative_width:.0%} of the median",
            NOISE,
            workers,
        )
    for position in outliers(rates) if len(rates) >= FEWEST_FOR_OUTLIERS else ():
        yield Caution(
            "outlier",
            f"run {position + 1} is far from the others: {rates[position]:,.0f} tasks/s",
            NOISE,
            workers,
        )
    if len(rates) >= 4 and steadily(rates) and abs(trend(rates)) > STEADY_DRIFT / 2:
        word = "faster" if rates[-1] > rates[0] else "slower"
        yield Caution(
            "drift", f"each run was {word} than the one before, {trend(rates):+.0%} in all", "raise --warmup", workers
        )


def _uneven(seen: Observation) -> bool:
    return any(count < LEAST_WORKER_SHARE * seen.tasks / seen.workers for count in seen.shares.values())
