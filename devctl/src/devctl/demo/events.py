"""What the demo says while it goes on; starts and benches say theirs in between."""

from __future__ import annotations

from dataclasses import dataclass

from devctl.bench.events import Event as BenchEvent
from devctl.bench.report import Report as BenchReport
from devctl.demo.answer import Answer
from devctl.demo.journey import Journey
from devctl.demo.sample import Sample
from devctl.measurement.request import Request
from devctl.stack.report import Event as StartEvent
from devctl.stack.report import StartReport


@dataclass(frozen=True)
class Begun:
    """One of the steps: start, order or task, follow, bench, stop."""

    step: str
    doing: str


@dataclass(frozen=True)
class Started:
    """All services are ready."""

    report: StartReport


@dataclass(frozen=True)
class Answered:
    """The request, or the task, was accepted."""

    request: Request | Sample
    answer: Answer


@dataclass(frozen=True)
class Followed:
    """Every task that the request caused has ended."""

    journey: Journey


@dataclass(frozen=True)
class Measured:
    """The short bench is over."""

    report: BenchReport


@dataclass(frozen=True)
class Stopped:
    """Nothing is left of the demo's stack."""

    seconds: float


Event = Begun | Started | Answered | Followed | Measured | Stopped | StartEvent | BenchEvent


def ignore(event: Event) -> None:
    """Nobody listens."""
