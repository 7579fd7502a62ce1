"""CPU that the parts of a stack use in a run: two looks at the kernel's counters, which cost the run nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from devctl.bench.observation import Load
from devctl.clock import Clock
from devctl.measurement import quota
from devctl.stack.port import Replica

_SAME_START_SECONDS = 5.0
"""A process that began at another time than its replica only has the same number: an engine elsewhere, or in a VM."""


@dataclass(frozen=True)
class Reading:
    """Seconds of CPU used so far; None where a part cannot be read."""

    at: float
    workers: float | None
    broker: float | None
    machine: float


class Meter(Protocol):
    """Reads the counters."""

    def read(self, workers: Iterable[Replica], broker: Iterable[Replica]) -> Reading:
        """Read them now."""

    def quota(self, replicas: Iterable[Replica]) -> float | None:
        """CPUs that each of these replicas may use at most; None where nothing limits them."""


class CpuMeter:
    """The kernel's counters, by process id; containers on this machine's kernel included."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mine = quota.of()

    def read(self, workers: Iterable[Replica], broker: Iterable[Replica]) -> Reading:
        """Read them now. In a container with a quota, the machine is what that container uses."""
        mine = self._mine.used_seconds() if self._mine else None
        machine = _machine_seconds() if mine is None else mine
        return Reading(self._clock.now(), _seconds(workers), _seconds(broker), machine)

    def quota(self, replicas: Iterable[Replica]) -> float | None:
        """The smallest one of their control groups, where these are on this machine."""
        found = (quota.of(replica.pid) for replica in replicas if replica.pid is not None)
        return min((one.cpus for one in found if one), default=None)


def load(before: Reading, after: Reading) -> Load | None:
    """What was used between two readings, in CPUs; None where a part could not be read."""
    seconds = after.at - before.at
    if seconds <= 0 or None in (before.workers, after.workers, before.broker, after.broker):
        return None
    assert before.workers is not None
    assert after.workers is not None
    assert before.broker is not None
    assert after.broker is not None
    return Load(
        workers=max(0.0, after.workers - before.workers) / seconds,
        broker=max(0.0, after.broker - before.broker) / seconds,
        machine=max(0.0, after.machine - before.machine) / seconds,
        seconds=seconds,
    )


def _seconds(replicas: Iterable[Replica]) -> float | None:
    import psutil

    total = 0.0
    for replica in replicas:
        if replica.pid is None:
            return None
        try:
            process = psutil.Process(replica.pid)
            if replica.started_at and abs(process.create_time() - replica.started_at) > _SAME_START_SECONDS:
                return None
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            return None
        for member in family:
            try:
                times = member.cpu_times()
            except psutil.NoSuchProcess:  # a child that has ended meanwhile
                continue
            except psutil.Error:
                return None
            total += times.user + times.system
    return total


def _machine_seconds() -> float:
    import psutil

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # the kernel counts these in user too
    return float(sum(times) - idle - guest)
