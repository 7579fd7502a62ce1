"""One rule, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from devctl.doctor.celery.evidence import Evidence
from devctl.doctor.check import Status


@dataclass(frozen=True)
class Finding:
    """What is wrong at one place, and what it does."""

    message: str
    place: str = ""
    fix: str = ""
    """Where it is another one than the rule's."""


@dataclass(frozen=True)
class Rule:
    """What is looked for. NotKnown, raised by `judge`, is an answer."""

    id: str
    """For good: programs and people refer to it."""
    status: Status
    judge: Callable[[Evidence], Iterator[Finding]]
    fix: str
