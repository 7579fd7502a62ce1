"""What the dashboard shows: one snapshot of a stack, the same for the terminal, the browser and JSON."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ServiceRow:
    name: str
    state: str
    """As `devctl ps` says it: running, restarting, exited, …"""
    health: str
    """healthy, degraded, unhealthy, starting; "" where the service has no probe."""
    replicas: int
    role: str = ""
    """worker, beat, web, broker, …; "" where it is not known."""
    ports: tuple[str, ...] = ()
    scalable: bool = False


@dataclass(frozen=True)
class QueueRow:
    name: str
    waiting: int
    claimed: int | None
    due: int = 0
    dead: int = 0
    oldest_seconds: float | None = None
    rate_in: float | None = None
    """Messages a second; None: not known yet, or not told by this broker."""
    rate_out: float | None = None
    paused: bool = False
    stopped: bool = False
    """Its dead letters are at their bound."""
    consumers: int | None = None
    """Workers that consume it; None: no worker was asked."""
    history: tuple[tuple[float, int, float], ...] = ()
    """Of the last two minutes: unix seconds, depth (waiting and claimed), oldest age in seconds."""


@dataclass(frozen=True)
class RunningTask:
    task: str
    task_id: str
    seconds: float
    progress: float | None = None
    note: str = ""


@dataclass(frozen=True)
class WorkerRow:
    node: str
    service: str
    queues: tuple[str, ...]
    threads: int | None = None
    running: tuple[RunningTask, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A recent failure, retry or dead letter, the newest first."""

    at: float
    kind: Literal["failed", "dead", "retried"]
    task: str
    task_id: str
    queue: str
    error: str
    reason: str = ""
    letter_id: str = ""
    """Of its dead letter, where there still is one: what `replay` and `drop` take."""


@dataclass(frozen=True)
class BrokerRow:
    url: str
    """Without its password."""
    reachable: bool
    problem: str = ""
    memory_bytes: int = 0
    max_memory_bytes: int = 0


@dataclass(frozen=True)
class Snapshot:
    at: float
    stack: str
    runtime: str
    broker: BrokerRow
    services: tuple[ServiceRow, ...] = ()
    queues: tuple[QueueRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    failures: tuple[Failure, ...] = ()
    problems: tuple[str, ...] = field(default=())
    """What could not be read, one sentence each."""
