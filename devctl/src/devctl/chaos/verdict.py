"""What the facts mean: pure functions from observations to one row."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from devctl.chaos.observation import Check, Observation, Sent, Soak
from devctl.chaos.scenario import Expect, Scenario, Size

Verdict = Literal["held", "broken", "not run"]
NO_ANSWER = "no answer"
PUBLISHED, REFUSED = "published", "refused: "
CLOCK_SECONDS = 0.1
"""What two clocks of one machine, read one after the other, may differ."""


@dataclass(frozen=True)
class Row:
    """One scenario's result."""

    number: int
    name: str
    title: str
    verdict: Verdict
    why: str = ""
    """Why it is broken or was not run, in one sentence."""
    excused: bool = False
    """Not run, because it cannot be here: no failure."""
    reasons: tuple[str, ...] = ()
    """All that is broken."""
    fired: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    lost: int = 0
    """Accepted, and nowhere any more."""
    waiting: int = 0
    """Accepted, and still somewhere in the broker when patience ended."""
    doubled: int = 0
    """Effects applied, or orders made, more than once."""
    repeated: int = 0
    """Tasks that ran more than once; harmless where no effect is doubled."""
    unconfirmed: int = 0
    """Sent, and never confirmed."""
    recovery_seconds: float | None = None
    drained_seconds: float | None = None
    answers: Mapping[str, int] = field(default_factory=dict)
    """HTTP status, or "no answer" -> how often."""
    slowest_answer_seconds: float | None = None
    refused_publishes: int = 0
    slowest_publish_seconds: float | None = None
    seconds: float = 0.0
    checks: tuple[Check, ...] = ()
    soak: Soak | None = None
    interrupted: bool = False


def not_run(scenario: Scenario, size: Size, why: str) -> Row:
    """The row of a scenario that cannot be played here."""
    return Row(scenario.number, scenario.name, scenario.title[size], "not run", why, excused=True)


def failed(scenario: Scenario, size: Size, why: str) -> Row:
    """The row of a scenario whose stack did not even start, or did no work."""
    return Row(scenario.number, scenario.name, scenario.title[size], "broken", why, reasons=(why,))


def judge(scenario: Scenario, size: Size, parts: Sequence[tuple[Expect, Observation]]) -> Row:
    """The row of all parts: counts are added, times are the worst, one broken part breaks it."""
    rows = [_part(expect, seen) for expect, seen in parts]
    reasons = tuple(dict.fromkeys(reason for row in rows for reason in row.reasons))
    short = [
        f"the fault happened {seen.fired} of {expect.fired} times"
        for expect, seen in parts
        if seen.fired < expect.fired
    ]
    verdict: Verdict = "broken" if reasons else "not run" if short else "held"
    return Row(
        scenario.number,
        scenario.name,
        scenario.title[size],
        verdict,
        why="; ".join([*["interrupted"] * any(seen.interrupted for _, seen in parts), *reasons, *short]),
        reasons=reasons,
        fired=sum(row.fired for row in rows),
        accepted=sum(row.accepted for row in rows),
        done=sum(row.done for row in rows),
        dead=sum(row.dead for row in rows),
        lost=sum(row.lost for row in rows),
        waiting=sum(row.waiting for row in rows),
        doubled=sum(row.doubled for row in rows),
        repeated=sum(row.repeated for row in rows),
        unconfirmed=sum(row.unconfirmed for row in rows),
        recovery_seconds=_worst(row.recovery_seconds for row in rows),
        drained_seconds=_worst(row.drained_seconds for row in rows),
        answers=sum((Counter(row.answers) for row in rows), Counter()),
        slowest_answer_seconds=_worst(row.slowest_answer_seconds for row in rows),
        refused_publishes=sum(row.refused_publishes for row in rows),
        slowest_publish_seconds=_worst(row.slowest_publish_seconds for row in rows),
        seconds=sum(row.seconds for row in rows),
        checks=tuple(check for row in rows for check in row.checks),
        soak=next((row.soak for row in rows if row.soak), None),
        interrupted=any(row.interrupted for row in rows),
    )


def recovery(seen: Observation) -> float | None:
    """Seconds from the end of a fault until all that it touched goes on, the worst of all faults; None: it touched
    nothing. An interrupted task goes on with its next start, one that ran through the fault with its finish, one that
    waited with its first start (where there was no backlog to wait for), the API with the first order it accepts."""
    if not seen.strikes:
        return None
    strikes = sorted(seen.strikes, key=lambda strike: strike.ended)
    ends = [strike.ended for strike in strikes]
    accepted = {id_: one.accepted_at for one in seen.sent if one.accepted_at is not None for id_ in one.ids[:1]}
    backs: list[float] = []

    def back(since: float, at: float) -> None:
        """Something stood still from `since` on and goes on at `at`: the first fault that ended in between did it."""
        place = bisect_left(ends, since)
        if place < len(ends) and ends[place] <= at:
            backs.append(at - ends[place])

    for id_, run in seen.runs.items():
        if run.starts and not seen.backlog and id_ in accepted:
            back(accepted[id_], run.starts[0][0])
        for (begun, _), (again, _) in pairwise(run.starts):
            back(begun, again)
        if run.starts and run.finishes:
            back(run.starts[-1][0], run.finishes[-1][0])
    orders = sorted(one.accepted_at for one in seen.sent if one.accepted_at is not None and not _published(one))
    for end in ends:
        place = bisect_left(orders, end)
        backs += [at - end for at in orders[place : place + 1]]
    return max(backs, default=None)


def _part(expect: Expect, seen: Observation) -> Row:
    accepted = [one for one in seen.sent if one.accepted_at is not None]
    fates = {one.key: _fate(one, seen) for one in accepted}
    found = Counter(fates.values())
    orders = [one for one in seen.sent if not _published(one)]
    published = [one for one in seen.sent if _published(one)]
    doubled = sum(times > 1 for times in seen.effects.values()) + sum(len(one.ids) - 1 for one in seen.sent if one.ids)
    many = seen.tally
    row = Row(
        0,
        "",
        "",
        "held",
        fired=seen.fired,
        accepted=len(accepted) + many.accepted,
        done=found["done"] + many.done,
        dead=found["dead"] + sum(many.dead.values()),
        lost=found["lost"] + many.lost,
        waiting=found["waiting"] + many.waiting,
        doubled=doubled + seen.strays + many.doubled,
        repeated=sum(len(run.starts) - (id_ in seen.retried) > 1 for id_, run in seen.runs.items()) + many.repeated,
        unconfirmed=len(seen.sent) - len(accepted) + many.unconfirmed,
        recovery_seconds=recovery(seen),
        drained_seconds=seen.drained_seconds,
        answers=Counter(answer for one in orders for answer in one.answers),
        slowest_answer_seconds=_worst(one.slowest_seconds for one in orders),
        refused_publishes=sum(answer.startswith(REFUSED) for one in published for answer in one.answers) + many.refused,
        slowest_publish_seconds=_worst(one.slowest_seconds for one in published),
        seconds=seen.seconds,
        checks=seen.checks,
        soak=seen.soak,
        interrupted=seen.interrupted,
    )
    return Row(**{**vars(row), "reasons": tuple(_broken(expect, seen, row, fates))})


def _fate(one: Sent, seen: Observation) -> str:
    """What became of an accepted message."""
    if any(id_ in seen.done for id_ in one.ids):
        return "done"
    if any(id_ in seen.dead for id_ in one.ids):
        return "dead"
    return "waiting" if any(id_ in seen.waiting for id_ in one.ids) else "lost"


def _broken(expect: Expect, seen: Observation, row: Row, fates: Mapping[str, str]) -> Iterator[str]:
    if row.lost:
        yield f"{row.lost:,} lost"
    if row.doubled:
        yield f"{row.doubled:,} doubled"
    if row.waiting and not seen.interrupted:
        yield f"{row.waiting:,} not back after {seen.patience}"
    elif seen.drained_seconds is None and not seen.interrupted:
        yield f"the broker was not empty after {seen.patience}"
    innocent = Counter(
        reason
        for one in seen.sent
        if fates.get(one.key) == "dead" and seen.fates.get(one.key, "done") == "done"
        for reason in [next(seen.dead[id_] for id_ in one.ids if id_ in seen.dead)]
    )
    for reason, count in (innocent + Counter(seen.tally.dead)).items():
        yield f"{count:,} valid tasks became dead letters ({reason})"
    if survived := sum(fates.get(key) == "done" for key, fate in seen.fates.items() if fate == "dead"):
        yield f"{survived:,} invalid tasks count as done"
    if seen.followups:
        yield f"{len(seen.followups):,} follow-up messages are missing"
    yield from _limits(expect, seen, row)
    for check in seen.checks:
        if not check.held:
            yield f"did not hold: {check.what}"


def _limits(expect: Expect, seen: Observation, row: Row) -> Iterator[str]:
    starts = max((len(run.starts) for run in seen.runs.values()), default=0)
    if expect.starts is not None and starts > expect.starts:
        yield f"a task was started {starts} times, at most {expect.starts} are allowed"
    if expect.repeated is not None and row.repeated > expect.repeated:
        yield f"{row.repeated:,} ran more than once"
    if expect.back_seconds is not None and (row.recovery_seconds or 0.0) > expect.back_seconds:
        yield f"back only after {row.recovery_seconds:.1f} s, {expect.back_seconds:.0f} s are allowed"
    if expect.due_seconds is not None and (early := _early(seen, expect.due_seconds)):
        yield f"{early:,} started before they were due"
    others = {} if expect.answers is None else {k: n for k, n in row.answers.items() if k not in expect.answers}
    if others:
        yield "unexpected HTTP answers: " + ", ".join(f"{n:,} × {answer}" for answer, n in others.items())
    for what, slowest, limit in (
        ("HTTP answer", row.slowest_answer_seconds, expect.answer_seconds),
        ("publish", row.slowest_publish_seconds, expect.publish_seconds),
    ):
        if limit is not None and slowest is not None and slowest > limit:
            yield f"the slowest {what} took {slowest:.1f} s, {limit:g} s are allowed"


def _early(seen: Observation, seconds: float) -> int:
    """How many ran before their time. A publisher counts from its own call, which is not before the schedule's time."""
    due = {id_: one.due + seconds - CLOCK_SECONDS for one in seen.sent for id_ in one.ids}
    return sum(bool(run.starts) and run.starts[0][0] < due.get(id_, 0.0) for id_, run in seen.runs.items())


def _published(one: Sent) -> bool:
    """Whether it went to the broker itself."""
    return any(answer == PUBLISHED or answer.startswith(REFUSED) for answer in one.answers)


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
