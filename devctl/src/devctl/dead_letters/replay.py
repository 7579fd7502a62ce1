"""Replaying dead letters, one after the other: checked against today's contracts, at a rate, and no more than asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from celeriac.dead_letter.letters import Letter
from devctl.broker.port import Broker
from devctl.contracts.port import Tasks
from devctl.dead_letters.check import Flaw, flaws
from devctl.errors import DevctlError, Interrupted, UsageError

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, None: 1}
AGAIN = "the same command replays the rest; no letter is replayed twice"


@dataclass(frozen=True)
class Plan:
    """How: `rate` a second, no more than `most`; a dry run only checks."""

    dry_run: bool = False
    rate: float | None = None
    most: int | None = None


@dataclass(frozen=True)
class Replayed:
    """This one is a message again (in a dry run: could be); the `number`-th of so many chosen."""

    letter: Letter
    number: int
    of: int
    seconds: float = 0.0
    """How long the broker took for it."""


@dataclass(frozen=True)
class Refused:
    """This one stays a letter, and why."""

    letter: Letter
    flaws: tuple[Flaw, ...]


@dataclass(frozen=True)
class Gone:
    """This one is no letter any more: somebody replayed or dropped it, or it never was one."""

    letter_id: str


Event = Replayed | Refused | Gone


@dataclass
class Report:
    """What became of the letters that were chosen."""

    dry_run: bool
    replayed: list[Letter] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    left: int = 0
    """Not looked at, because there were as many as asked for."""
    seconds: float = 0.0


def rate(text: str) -> float | None:
    """`50`, `50/s`, `10/m` -> so many a second; nothing for nothing."""
    if not text:
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"--rate {text!r} is not a rate", hint="a number a second, minute or hour: 50/s, 10/m, 1/h")
    return float(found[1]) / _SECONDS[found[2]]


def run(
    letter_ids: Sequence[str],
    plan: Plan,
    broker: Broker,
    tasks: Tasks,
    emit: Callable[[Event], None],
    *,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Replay these. Where it breaks off, the error says how far it came; to repeat it is harmless."""
    report, started = Report(plan.dry_run), clock()
    try:
        for number, letter_id in enumerate(letter_ids, 1):
            if plan.most is not None and len(report.replayed) >= plan.most:
                report.left = len(letter_ids) - number + 1
                break
            letter = broker.letter(letter_id)
            found = flaws(letter, tasks, now()) if letter else ()
            if found and letter:
                report.refused.append(Refused(letter, found))
                emit(report.refused[-1])
                continue
            if letter and plan.rate and not plan.dry_run:
                sleep(max(0.0, started + len(report.replayed) / plan.rate - clock()))
            begun = clock()
            if letter is None or not (plan.dry_run or broker.replay(letter)):
                report.gone.append(letter_id)
                emit(Gone(letter_id))
                continue
            report.replayed.append(letter)
            emit(Replayed(letter, number, len(letter_ids), clock() - begun))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {_so_far(report, letter_ids)}", hint=AGAIN) from None
    except DevctlError as problem:
        details = [*problem.details, _so_far(report, letter_ids), AGAIN]
        raise DevctlError(problem.problem, hint=problem.hint, details=details) from problem
    report.seconds = clock() - started
    return report


def _so_far(report: Report, letter_ids: Sequence[str]) -> str:
    return f"{len(report.replayed):,} of {len(letter_ids):,} dead letters were already replayed"
