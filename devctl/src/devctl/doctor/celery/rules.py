"""All rules, and what they find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from devctl.doctor.celery import calls, command, loss, packages, results, twice, wait
from devctl.doctor.celery.evidence import Evidence, NotKnown
from devctl.doctor.celery.rule import Finding, Rule

RULES: tuple[Rule, ...] = (
    *loss.RULES,
    *twice.RULES,
    *wait.RULES,
    *results.RULES,
    *calls.RULES,
    *command.RULES,
    *packages.RULES,
)


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one app."""

    rule: Rule
    findings: tuple[Finding, ...]
    unknown: NotKnown | None = None
    """What would have to be known for a clean bill."""


def judge(evidence: Evidence, rules: Iterable[Rule] = RULES) -> Iterator[Verdict]:
    """Ask every rule."""
    for rule in rules:
        findings: list[Finding] = []
        unknown = None
        try:
            findings.extend(rule.judge(evidence))
        except NotKnown as lack:
            unknown = lack
        yield Verdict(rule, tuple(findings), unknown)


def clean(verdicts: Sequence[Verdict]) -> list[str]:
    """The ids of the rules that found nothing, and knew all that they had to know."""
    return [one.rule.id for one in verdicts if not one.findings and one.unknown is None]
