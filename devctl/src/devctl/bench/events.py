"""What a bench says while it works."""

from __future__ import annotations

from dataclasses import dataclass

from devctl.bench.counting.port import Way
from devctl.stack.report import Event as StartEvent


@dataclass(frozen=True)
class Planned:
    """What is to come."""

    runs: int
    seconds: float
    """About so long it will take, without building images."""


@dataclass(frozen=True)
class Preparing:
    """Services are being started, or workers added."""

    service: str
    workers: int
    found: int
    """Workers that ran before."""
    starting: tuple[str, ...] = ()
    """Services that did not run."""


@dataclass(frozen=True)
class Prepared:
    """All workers answer."""

    seconds: float


@dataclass(frozen=True)
class Counting:
    """How the tasks will be counted, and why so."""

    way: Way
    why: str


@dataclass(frozen=True)
class WarmingUp:
    """A point is being warmed up, to find out how many tasks a run needs."""

    workers: int
    tasks: int
    left: float
    """Seconds until the last run is over; so in the events below."""


@dataclass(frozen=True)
class Sized:
    """Each run of this point will have so many tasks."""

    workers: int
    tasks: int


@dataclass(frozen=True)
class Publishing:
    """A run begins: its backlog is being published."""

    number: int
    of: int
    workers: int
    tasks: int
    left: float


@dataclass(frozen=True)
class Draining:
    """So many tasks are done so far; at most four a second."""

    number: int
    of: int
    workers: int
    done: int
    tasks: int
    rate: float
    """Tasks per second since the run began."""
    left: float


@dataclass(frozen=True)
class RunDone:
    """One run is over, and saved."""

    number: int
    of: int
    workers: int
    round: int
    tasks: int
    rate: float | None
    """None: too few tasks to tell."""
    clean: bool
    left: float


@dataclass(frozen=True)
class PuttingBack:
    """The runs are over, the stack gets back what it had."""


def ignore(event: Event) -> None:
    """Nobody listens."""


Event = (
    StartEvent
    | Planned
    | Preparing
    | Prepared
    | Counting
    | WarmingUp
    | Sized
    | Publishing
    | Draining
    | RunDone
    | PuttingBack
)
