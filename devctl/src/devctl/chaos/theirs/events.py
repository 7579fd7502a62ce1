"""What it says while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from devctl.chaos.theirs.row import Outcome
from devctl.stack.port import BuildProgress
from devctl.stack.report import Event as StartEvent


@dataclass(frozen=True)
class Staging:
    """A copy of their stack is being made."""

    celeriac: bool


@dataclass(frozen=True)
class Ready:
    """It runs, and its task was done."""

    seconds: float
    """That the task took."""


@dataclass(frozen=True)
class Playing:
    """A row begins."""

    number: int
    of: int
    title: str


@dataclass(frozen=True)
class Doing:
    """What is being done now."""

    what: str


@dataclass(frozen=True)
class RowDone:
    """A row is over."""

    outcome: Outcome


Event = Staging | Ready | Playing | Doing | RowDone | BuildProgress | StartEvent


def ignore(event: Event) -> None:
    """Nobody listens."""
