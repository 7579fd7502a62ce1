"""What was found, and as JSON: devctl.chaos-task/1."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from devctl.chaos.theirs.ledger import Worker
from devctl.chaos.theirs.row import Outcome
from devctl.chaos.theirs.verdict import Reason, reasons
from devctl.measurement.serving import Call

SCHEMA = "devctl.chaos-task/1"


@dataclass(frozen=True)
class Side:
    """All rows of one copy."""

    worker: Worker
    task: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    """That one task took."""

    @property
    def good(self) -> bool:
        """Whether nothing was lost, held back or left behind in any row that was played."""
        return all(one.good for one in self.outcomes if not one.why_not)

    @property
    def reasons(self) -> list[Reason]:
        """The settings behind what was not good."""
        return list(reasons(self.outcomes, self.worker, self.task))


@dataclass(frozen=True)
class Report:
    """Their workers as they are, and where it was asked for the same with celeriac."""

    call: Call
    service: str
    own: Side
    celeriac: Side | None = None


def document(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "schema": SCHEMA,
        "task": report.call.task,
        "queue": report.call.queue,
        "service": report.service,
        "own": _side(report.own),
        "celeriac": report.celeriac and _side(report.celeriac),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "celery": side.worker.celery,
        "pool": side.worker.pool,
        "concurrency": side.worker.concurrency,
        "transport": side.worker.transport,
        "task_seconds": round(side.seconds, 3),
        "settings": dict(side.worker.settings) | dict(side.worker.tasks.get(side.task, {})),
        "rows": [_row(one) for one in side.outcomes],
        "reasons": [_reason(one) for one in side.reasons],
    }


def _row(one: Outcome) -> dict[str, Any]:
    return asdict(one) | {"seconds": round(one.seconds, 2), "good": None if one.why_not else one.good}


def _reason(one: Reason) -> dict[str, Any]:
    return asdict(one) | {"rows": list(one.rows)}
