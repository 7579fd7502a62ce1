"""What a chaos run says while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from devctl.chaos.verdict import Row
from devctl.stack.report import Event as StartEvent


@dataclass(frozen=True)
class Staging:
    """A stack is being made ready."""

    title: str


@dataclass(frozen=True)
class Playing:
    """A scenario begins."""

    number: int
    of: int
    title: str


@dataclass(frozen=True)
class Doing:
    """What is being done to the stack now."""

    what: str


@dataclass(frozen=True)
class Tick:
    """How far the load is; at most four a second."""

    accepted: int
    finished: int


@dataclass(frozen=True)
class Soaking:
    """How far a soak is; at most two a second."""

    kills: int
    of_kills: int
    done: int
    of_tasks: int
    rate: float
    """Tasks per second, so far."""
    left_seconds: float


@dataclass(frozen=True)
class RowDone:
    """A scenario is over."""

    row: Row


@dataclass(frozen=True)
class PuttingBack:
    """The last one is over; the stack goes."""


Event = Staging | Playing | Doing | Tick | Soaking | RowDone | PuttingBack | StartEvent


def ignore(event: Event) -> None:
    """Nobody listens."""
