"""Observations as a test wants them."""

from __future__ import annotations

from collections.abc import Callable

from devctl.chaos.field import Field
from devctl.chaos.observation import Observation, Run, Sent
from devctl.chaos.scenario import Expect, Part, Scenario
from devctl.chaos.verdict import PUBLISHED, Row, judge


def nothing(_: Field) -> None:
    """A fault that does nothing."""


def scenario(number: int = 1, name: str = "worker-kill", fault: Callable[[Field], None] = nothing) -> Scenario:
    return Scenario(number, name, {"quick": "SIGKILL worker", "full": "SIGKILL ×50"}, lambda *_: (Part(fault),))


def task(id_: str, accepted_at: float | None = 10.0, due: float = 10.0, slowest: float = 0.01) -> Sent:
    answers = (PUBLISHED,) if accepted_at is not None else ("refused: TimeoutError",)
    return Sent(id_, due, accepted_at, (id_,) if accepted_at is not None else (), slowest, answers)


def order(key: str, *ids: str, answers: tuple[str, ...] = ("202",), slowest: float = 0.01) -> Sent:
    return Sent(key, 10.0, 10.0 if ids else None, ids, slowest, answers)


def ran(start: float, finish: float | None = None, by: str = "a") -> Run:
    return Run(((start, by),), () if finish is None else ((finish, by),))


def seen(*sent: Sent, **facts: object) -> Observation:
    """All accepted ones done, unless the facts say otherwise."""
    done = frozenset(id_ for one in sent for id_ in one.ids)
    return Observation(**{"seconds": 5.0, "fired": 1, "sent": sent, "done": done, "drained_seconds": 0.1, **facts})  # type: ignore[arg-type]


def row(*observations: Observation, expect: Expect | None = None) -> Row:
    return judge(scenario(), "quick", [(expect or Expect(), one) for one in observations])
