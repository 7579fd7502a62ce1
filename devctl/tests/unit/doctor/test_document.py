"""docs/doctor.md lists every rule as it is in the code."""

from __future__ import annotations

from pathlib import Path

from devctl.doctor.celery import calls, command, loss, packages, results, twice, wait
from devctl.doctor.celery.rules import RULES

DOCUMENT = Path(__file__).parents[4] / "docs/doctor.md"
PARTS = {
    "Work that is lost": loss,
    "Work that is done twice": twice,
    "Work that waits": wait,
    "Results": results,
    "Calls": calls,
    "Commands": command,
    "Packages": packages,
}


def tables() -> str:
    """What the document has to hold."""
    parts = []
    for title, module in PARTS.items():
        rows = [
            f"| `{rule.id}` | {rule.status} | {rule.judge.__doc__} | {rule.fix} |"
            for rule in module.RULES  # type: ignore[attr-defined]  # each of these modules has them
        ]
        parts.append("\n".join([f"### {title}", "| id | is | why | fix |", "|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def test_every_rule_stands_in_the_document() -> None:
    assert sum(len(module.RULES) for module in PARTS.values()) == len(RULES)  # type: ignore[attr-defined]  # as above
    assert tables() in DOCUMENT.read_text(encoding="utf-8")
