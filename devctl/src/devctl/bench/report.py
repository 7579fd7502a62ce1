"""From observations to what is said about them: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from statistics import fmean
from typing import Any, Literal

from devctl.bench import statistics
from devctl.bench.counting.port import Way
from devctl.bench.environment import Environment, Room
from devctl.bench.observation import Audit, Load, Observation
from devctl.bench.plan import Plan, Task
from devctl.bench.statistics import Estimate
from devctl.bench.warnings import Caution, of_counting, of_point, of_repeats, of_scaling

SCHEMA = "devctl.bench/1"
BUSY = 0.9  # of what there is: the counters and the run do not begin at the same instant

Limit = Literal["machine", "workers", "broker", "round-trips", "waiting"]


@dataclass(frozen=True)
class Counted:
    """How the tasks were counted, and why so."""

    way: Way
    why: str

    @property
    def proves_once(self) -> bool:
        """Whether a task that ran twice is surely seen. An event can get lost, and a second result covers the first."""
        return self.way == "ledger"


@dataclass(frozen=True)
class Point:
    """One number of workers: all its runs."""

    workers: int
    runs: tuple[Observation, ...]
    """By round."""
    throughput: Estimate | None
    """None where a run was too short for a rate."""
    audit: Audit
    speed_up: Estimate | None
    """Against the point with the fewest workers; None where there is no other, or one of the two has no rate."""
    efficiency: float | None
    """Speed-up over the growth in workers."""
    oversubscribed: bool
    room: Room
    load: Load | None
    limit: Limit | None
    """What was used up; None where it could not be measured."""

    @property
    def rates(self) -> list[float]:
        """Tasks per second of each run; 0 where it was too short for a rate."""
        return [run.window.rate for run in self.runs]

    @property
    def too_short(self) -> int:
        """How many runs were."""
        return sum(run.window.too_short for run in self.runs)


@dataclass(frozen=True)
class Report:
    """What a bench found."""

    name: str
    plan: Plan
    environment: Environment
    points: tuple[Point, ...]
    counted: Counted
    cautions: tuple[Caution, ...]
    saved: str
    """The folder of the raw runs."""
    again: str = ""
    """The options of a next command about the same task, where it is one of theirs."""

    @property
    def audit(self) -> Audit:
        """Over all runs."""
        return reduce(add, (point.audit for point in self.points))


def summarise(
    name: str,
    plan: Plan,
    environment: Environment,
    observations: Sequence[Observation],
    *,
    counted: Counted,
    cautions: Sequence[Caution] = (),
    saved: str = "",
    again: str = "",
) -> Report:
    """Make the report of all runs; `cautions` are those about the conditions."""
    points: list[Point] = []
    found = [*cautions, *of_repeats(plan.repeats)]
    for workers in plan.workers:
        runs = tuple(sorted((one for one in observations if one.workers == workers), key=lambda one: one.round))
        points.append(_point(workers, runs, points[0] if points else None, environment, plan.task))
        found += of_scaling(workers, points[-1].efficiency)
        found += of_point(workers, points[-1].throughput, runs, environment, counted.way)
    found += of_counting(counted.way, [run for point in points for run in point.runs])
    return Report(name, plan, environment, tuple(points), counted, tuple(found), saved, again)


def _point(
    workers: int, runs: tuple[Observation, ...], base: Point | None, environment: Environment, task: Task
) -> Point:
    rates = [run.window.rate for run in runs]
    throughput = statistics.bootstrap(rates) if not any(run.window.too_short for run in runs) else None
    speed_up = None
    if base is not None and base.throughput and throughput:
        speed_up = statistics.bootstrap(statistics.paired_ratios(rates, base.rates))
    loads = [run.load for run in runs if run.load is not None]
    load = None
    if loads and len(loads) == len(runs):
        load = Load(
            workers=fmean(one.workers for one in loads),
            broker=fmean(one.broker for one in loads),
            machine=fmean(one.machine for one in loads),
            seconds=sum(one.seconds for one in loads),
        )
    room = environment.room(workers)
    return Point(
        workers=workers,
        runs=runs,
        throughput=throughput,
        audit=reduce(add, (run.audit for run in runs)),
        speed_up=speed_up,
        efficiency=speed_up.median / (workers / base.workers) if speed_up and base else None,
        oversubscribed=workers * environment.workers.slots > room.machine,
        room=room,
        load=load,
        limit=limit(load, room, task) if load else None,
    )


def limit(load: Load, room: Room, task: Task) -> Limit:
    """Say what was used up: every CPU, the broker's one thread, the workers' processes, or nothing but time.

    Nothing but time: the tasks wait; or they do nothing, and it goes into round trips between worker and broker.
    """
    if load.machine >= BUSY * room.machine:
        return "machine"
    if load.broker >= BUSY * room.broker:
        return "broker"
    if load.workers >= BUSY * room.workers:
        return "workers"
    return "round-trips" if task.kind == "noop" else "waiting"


def document(report: Report) -> dict[str, Any]:
    """The report as JSON: devctl.bench/1."""
    return {
        "schema": SCHEMA,
        "name": report.name,
        "runtime": report.environment.runtime,
        "task": report.plan.task.label,
        "phase": "capacity",
        "repeats": report.plan.repeats,
        "interval": {
            "statistic": "median of the runs",
            "method": "percentile bootstrap",
            "level": statistics.LEVEL,
            "resamples": statistics.RESAMPLES,
            "seed": statistics.SEED,
            "coverage_at_best": statistics.coverage(report.plan.repeats),
        },
        "counted": {
            "by": report.counted.way,
            "why": report.counted.why,
            "proves_once": report.counted.proves_once,
            "unseen": sum(run.unseen for point in report.points for run in point.runs),
        },
        "points": [_point_document(point) for point in report.points],
        "audit": asdict(report.audit),
        "environment": _environment_document(report.environment),
        "warnings": [asdict(caution) for caution in report.cautions],
        "saved": report.saved,
    }


def _point_document(point: Point) -> dict[str, Any]:
    return {
        "workers": point.workers,
        "throughput": {
            **asdict(point.throughput or Estimate(0.0, 0.0, 0.0)),
            "unit": "tasks/s",
            "runs": point.rates,
            "too_short": point.too_short,
        },
        "speed_up": asdict(point.speed_up) if point.speed_up else None,
        "efficiency": point.efficiency,
        "oversubscribed": point.oversubscribed,
        "audit": asdict(point.audit),
        "cpu": _load_document(point.load),
        "limit": point.limit,
        "runs": [
            {
                "run": run.run,
                "round": run.round,
                "tasks": run.tasks,
                "rate": run.window.rate,
                "window_seconds": run.window.seconds,
                "completions": run.window.completions,
                "publish_seconds": run.publish_seconds,
                "audit": asdict(run.audit),
                "cpu": _load_document(run.load),
            }
            for run in point.runs
        ],
    }


def _load_document(load: Load | None) -> dict[str, Any] | None:
    if load is None:
        return None
    return {"workers": load.workers, "broker": load.broker, "machine": load.machine, "unit": "CPUs"}


def _environment_document(environment: Environment) -> dict[str, Any]:
    machine = asdict(environment.machine)
    machine["packages"] = dict(environment.machine.packages)
    return {
        **machine,
        "runtime": environment.runtime,
        "server": {
            "product": environment.server.product,
            "version": environment.server.version,
            "persistence": environment.server.persistence,
            "eviction_policy": environment.server.eviction_policy,
        },
        "workers": asdict(environment.workers),
        "broker_cpu_quota": environment.broker_cpu_quota,
    }
