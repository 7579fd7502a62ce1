"""A chaos run in figures, and as JSON: devctl.chaos/1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from time import time
from typing import Any

from devctl.chaos.curve import Curve
from devctl.chaos.observation import Soak
from devctl.chaos.scenario import LEASE_SECONDS, Size
from devctl.chaos.verdict import Row, Verdict
from devctl.measurement.machine import machine
from devctl.measurement.store import Store, reports
from devctl.settings import Settings

SCHEMA = "devctl.chaos/1"
POINTS = 120
"""Of a curve."""


@dataclass(frozen=True)
class Report:
    """All rows."""

    runtime: str
    stock: bool
    size: Size
    rows: tuple[Row, ...]
    not_tested: tuple[str, ...]
    """What no row tests, anywhere."""
    seconds: float

    @property
    def tally(self) -> Mapping[Verdict, int]:
        """How many rows of each verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def broken(self) -> bool:
        """Whether an invariant was broken."""
        return any(row.verdict == "broken" for row in self.rows)

    @property
    def interrupted(self) -> bool:
        """Whether somebody pressed Ctrl-C, and this is what was known so far."""
        return any(row.interrupted for row in self.rows)

    @property
    def proved(self) -> bool:
        """Whether every row that can be played here was played, and held."""
        return all(row.verdict == "held" or row.excused for row in self.rows)


def document(report: Report, environment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "schema": SCHEMA,
        "runtime": report.runtime,
        "celery": "stock" if report.stock else "ours",
        "size": report.size,
        "lease_seconds": None if report.stock else LEASE_SECONDS,
        "seconds": round(report.seconds, 1),
        "rows": [_row(row) for row in report.rows],
        "not_tested": [
            *(f"{row.title}: {row.why}" for row in report.rows if row.verdict == "not run"),
            *report.not_tested,
        ],
        "environment": dict(environment or {}),
    }


def _row(row: Row) -> dict[str, Any]:
    found = asdict(row) | {"answers": dict(row.answers), "reasons": list(row.reasons)}
    for name, value in found.items():
        if isinstance(value, float):
            found[name] = round(value, 3)
    return found | {"checks": [asdict(check) for check in row.checks], "soak": row.soak and _soak(row.soak)}


def _soak(soak: Soak) -> dict[str, Any]:
    return {
        "kills": soak.kills,
        "redis_kills": soak.redis_kills,
        "bodies": soak.bodies,
        "rate": round(soak.rate, 1),
        "pause_seconds": round(soak.pause_seconds, 3),
        "memory": [_curve(curve) for curve in soak.curves],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "of": curve.name,
        "seconds": round(curve.seconds * len(curve.values), 1),
        "bytes": curve.points(POINTS),
        "first_tenth": curve.first and asdict(curve.first),
        "last_tenth": curve.last and asdict(curve.last),
        "flat": curve.flat,
    }


def new_store(settings: Settings) -> Store:
    """The folder of a run that begins now."""
    return Store.new(settings.state, time())


def keep(report: Report, store: Store, settings: Settings) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Write the report down; the document, and how the other side fared on the same rows when it was last put to it."""
    others = tally_of_others(report, reports(settings.state))
    written = document(report, asdict(machine(settings.root)))
    store.report(written)
    return written, others


def tally_of_others(report: Report, kept: Iterable[Mapping[str, Any]]) -> Mapping[str, int]:
    """Held and broken of the newest kept report about the other side on these rows; empty where there is none."""
    numbers, other = [row.number for row in report.rows], "ours" if report.stock else "stock"
    for one in kept:
        if (one.get("schema"), one.get("celery"), one.get("runtime")) == (SCHEMA, other, report.runtime):
            verdicts = Counter(row["verdict"] for row in one["rows"] if row["number"] in numbers)
            if verdicts["held"] + verdicts["broken"]:
                return verdicts
    return {}
