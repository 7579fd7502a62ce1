"""All conditions of a bench, and what there is to be used up under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from devctl.broker.port import ServerInfo
from devctl.measurement.machine import Machine
from devctl.stack.model import Service


@dataclass(frozen=True)
class Workers:
    """How each worker is set up, as far as the Compose file and the system say."""

    service: str
    pool: str
    concurrency: int | None
    cpu_quota: float | None = None
    """CPUs that its container may use; None: no such limit."""

    @property
    def slots(self) -> int:
        """Tasks that it runs at a time."""
        return self.concurrency or 1

    @property
    def cpus(self) -> float:
        """CPUs that it can use: one for each process that runs tasks. Threads share the one of their process."""
        processes = self.slots if self.pool == "prefork" else 1
        return processes if self.cpu_quota is None else min(processes, self.cpu_quota)


@dataclass(frozen=True)
class Room:
    """CPUs that each part can use."""

    machine: float
    workers: float
    broker: float


@dataclass(frozen=True)
class Environment:
    """All conditions."""

    machine: Machine
    runtime: str
    server: ServerInfo
    workers: Workers
    broker_cpu_quota: float | None = None

    def room(self, workers: int) -> Room:
        """What so many workers and their broker, which runs commands in one thread, can use."""
        broker = 1.0 if self.broker_cpu_quota is None else min(1.0, self.broker_cpu_quota)
        return Room(self.machine.usable, workers * self.workers.cpus, broker)


def workers(service: Service, cpu_quota: float | None = None) -> Workers:
    """Read the worker's settings from its environment in the Compose file."""
    concurrency = service.environment.get("WORKER_CONCURRENCY", "")
    return Workers(
        service=service.name,
        pool=service.environment.get("WORKER_POOL", ""),
        concurrency=int(concurrency) if concurrency.isdecimal() else None,
        cpu_quota=cpu_quota,
    )


def told(known: Workers, stats: Mapping[str, Any]) -> Workers:
    """The same with what a living worker says of its pool, where the Compose file does not say it."""
    pool = stats.get("pool")
    if known.pool or not isinstance(pool, Mapping):
        return known
    kind = str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2]
    size = pool.get("max-concurrency")
    return replace(known, pool=kind, concurrency=size if isinstance(size, int) else known.concurrency)
