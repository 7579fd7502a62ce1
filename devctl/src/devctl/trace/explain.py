"""What can be told beside the records: where a message is that has not ended, and why there are no records of an id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from devctl.broker.lookup import Known, look_up
from devctl.trace.model import GOES_ON, Attempt, Span, State, Trace, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devctl.broker.port import Broker, Place

MOST_ASKED = 20
"""Messages whose place is looked for: each may take reading thousands."""
_LAG_SECONDS = 1.0
"""A record may be a moment older than what the broker says."""
Reason = Literal["never", "expired", "off", "stock"]


@dataclass(frozen=True)
class Unknown:
    """Nothing is known of an id: no record, no result, no message."""

    reason: Reason
    oldest: float | None = None
    """How far back the records go."""
    why: str = ""
    """Of stock Celery: what it does not keep."""


def located(trace: Trace, broker: Broker) -> Trace:
    """The trace, and where each message is that has not ended; and which dead letters are still there."""
    going = [span for span in trace.tasks if span.state in GOES_ON][:MOST_ASKED]
    queues = _queues(broker) if going else {}
    where = {span.task_id: _where(span, broker, queues, trace.now) for span in going}
    dead = {span.task_id for span in trace.tasks if span.state == "dead"}
    return replace(trace, where=where, letters=_letters(broker, dead))


def _queues(broker: Broker) -> dict[str, str]:
    """The queues from which nothing is claimed now: paused, or stopped."""
    stopped = {one.name: "stopped" for one in broker.queues([]) if one.stopped}
    return stopped | dict.fromkeys(broker.paused(), "paused")


def _where(span: Span, broker: Broker, queues: dict[str, str], now: float) -> Where:
    last = next(one for one in reversed(span.attempts) if one.state in GOES_ON)
    since = next((at for at in (last.began, last.claimed, last.queued) if at is not None), None)
    if last.state in ("claimed", "running"):
        return Where("running" if last.state == "running" else "claimed", span.queue, since=since, worker=last.worker)
    place = broker.place(span.task_id, span.queue)
    if place is None and now - (last.begin or now) > _LAG_SECONDS:
        return Where("gone", span.queue, since=since)
    found = _at(place, queues, since) if place else Where("waiting", span.queue, since=since)
    return replace(found, due=found.due or last.due)


def _at(place: Place, queues: dict[str, str], since: float | None = None) -> Where:
    """A place in the broker, and whether anything is claimed from there."""
    held = queues.get(place.queue)
    return Where(
        place.state, place.queue, place.behind, since, place.due, paused=held == "paused", stopped=held == "stopped"
    )


def _letters(broker: Broker, task_ids: Iterable[str]) -> dict[str, str]:
    wanted, found = set(task_ids), dict[str, str]()
    if wanted:
        for letter in broker.letters(newest_first=True):
            if letter.task_id in wanted:
                found.setdefault(letter.task_id or "", letter.id)
    return found


_STATES: dict[str, State] = {
    "started": "running",
    "retrying": "due",
    "succeeded": "succeeded",
    "failed": "failed",
}


def without_records(broker: Broker, asked: str, now: float) -> Trace | Unknown:
    """What result, queue, claims and dead letters tell of a task that no record is of."""
    known = look_up(broker, asked)
    place = broker.place(known.task_id) if known.result.state in ("pending", "retrying") else None
    if known.nothing and place is None:
        return _unknown(broker, known)
    return _rest(broker, known, place, asked, now)


def _rest(broker: Broker, known: Known, place: Place | None, asked: str, now: float) -> Trace:
    letter, holder, result = known.letter, known.holder, known.result
    where: Where | None = None
    state: State = _STATES.get(result.state, "waiting" if known.note == "queued" else "unknown")
    if letter is not None:
        state = "dead"
    elif holder is not None and holder.node:
        state = "running" if holder.runs else "claimed"
        where = Where(state, holder.queue, worker=holder.node)
    elif place is not None:
        state = place.state
        where = _at(place, _queues(broker), place.published)
    elif known.note == "done" and result.state == "pending":
        state = "succeeded"
    elif result.state == "pending":
        where = Where("gone")
    error = f"{result.error_type}: {result.error_message}".strip(": ") or (letter.error if letter else "") or ""
    begin = letter.published_at if letter else place.published if place else None
    end = letter.time if letter else result.finished
    span = Span(
        "task",
        (letter.task if letter else "") or (place.task if place else "") or "a task",
        (letter.worker if letter else "") or (holder.node if holder else ""),
        known.task_id,
        (letter.queue if letter else "") or (place.queue if place else ""),
        begin if begin is not None else end,
        end,
        state,
        error.splitlines()[0] if error else "",
        letter.reason if letter else "",
        (Attempt(state, queued=begin, settled=end, error=error),),
    )
    return Trace(
        asked,
        (letter.correlation_id if letter else "") or "",
        (span,),
        now,
        (_why_no_records(broker),),
        {} if where is None else {known.task_id: where},
        {} if letter is None else {known.task_id: letter.id},
    )


def _why_no_records(broker: Broker) -> str:
    if broker.life.why_none:
        return broker.life.why_none
    if broker.life.span().oldest is None:
        return "no step of it is recorded: records are off (CELERY_LIFE_LENGTH=0), or no worker here writes them yet"
    return "no step of it is recorded: it is older than the records, or stock clients and workers handled it"


def _unknown(broker: Broker, known: Known) -> Unknown:
    if broker.life.why_none:
        return Unknown("stock", why=known.why_no_result or broker.life.why_none)
    oldest = broker.life.span().oldest
    if oldest is None:
        return Unknown("off")
    made = _made_at(known.task_id)
    return Unknown("expired" if made is not None and made < oldest else "never", oldest)


def _made_at(identity: str) -> float | None:
    """When an id was made, if it says so: a UUID of version 7."""
    from uuid import UUID

    try:
        found = UUID(identity)
    except ValueError:
        return None
    return (found.int >> 80) / 1_000 if found.version == 7 else None
