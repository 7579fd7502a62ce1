"""Records as a stack would write them, in milliseconds after its begin."""

from __future__ import annotations

from typing import Any

from celeriac.life.record import Kind, Record
from devctl.trace.build import build
from devctl.trace.model import Attempt, Span, Trace

BEGIN = 1_764_165_800.0
ORDER, MAIL = "0190b3c2-aaaa-4000-8000-000000000001", "7f1e0000-aaaa-4000-8000-000000000002"
CORRELATION = "4bf92f3577b34da6a3ce929d0e0e4736"
WORKER, SECOND = "worker@a1", "worker@b2"


def at(ms: float) -> float:
    return BEGIN + ms / 1_000


def step(ms: float, kind: Kind, **facts: Any) -> Record:
    return Record(at(ms), kind, **facts)


def published(ms: float, task_id: str = ORDER, tag: str = "t1", **facts: Any) -> Record:
    task = "tasks.send_notification" if task_id == MAIL else "tasks.process_order"
    queue = "notifications" if task_id == MAIL else "orders"
    known = {"task": task, "queue": queue, "who": "service1", "root_id": task_id, "correlation_id": CORRELATION}
    return step(ms, Kind.PUBLISHED, task_id=task_id, tag=tag, **{**known, **facts})


def claimed(ms: float, tag: str = "t1", who: str = WORKER) -> Record:
    return step(ms, Kind.CLAIMED, tag=tag, who=who, queue="orders")


def ended(ms: float, ran_ms: float, kind: Kind = Kind.COMMITTED, **facts: Any) -> Record:
    """One millisecond after its body."""
    known = {"task_id": ORDER, "tag": "t1", "task": "tasks.process_order", "who": WORKER, "state": "SUCCESS"}
    return step(ms, kind, since=at(ms - 1 - ran_ms), seconds=ran_ms / 1_000, **{**known, **facts})


def retried(ms: float, ran_ms: float, due_ms: float, tag: str, next_tag: str, error: str) -> list[Record]:
    """Its failure, and the message of its next attempt: one entry."""
    return [
        ended(ms, ran_ms, Kind.RETRIED, tag=tag, error=error, state="RETRY", due_at=at(due_ms)),
        published(ms, tag=next_tag, who=WORKER, due_at=at(due_ms), attempt=1),
    ]


AWAY = "TransientError: the warehouse does not answer"


def story() -> list[Record]:
    """An order that fails twice, dies, is replayed and done, with the mail that it sends."""
    return [
        published(4, since=BEGIN, via="POST /api/orders"),
        claimed(5),
        *retried(18, 12, 518, "t1", "t2", AWAY),
        claimed(521, "t2"),
        ended(535, 12, Kind.DEAD, tag="t2", error=AWAY, reason="retries-exhausted", state="FAILURE"),
        step(2_535, Kind.REPLAYED, task_id=ORDER, tag="t3", task="tasks.process_order", queue="orders", who="devctl"),
        claimed(2_536, "t3"),
        ended(2_560, 20, tag="t3"),
        published(2_560, MAIL, "n1", who=WORKER, parent_id=ORDER, root_id=ORDER, correlation_id=""),
        claimed(2_561, "n1", "service2@c3"),
        ended(2_566, 2, task_id=MAIL, tag="n1", task="tasks.send_notification", who="service2@c3"),
    ]


def made(records: list[Record], now_ms: float = 3_000) -> Trace:
    return build(records, ORDER, at(now_ms))


def only(trace: Trace) -> Span:
    (span,) = trace.tasks
    return span


def states(span: Span) -> list[str]:
    return [one.state for one in span.attempts]


def ms(when: float | None) -> float | None:
    return None if when is None else round((when - BEGIN) * 1_000, 1)


def times(one: Attempt) -> tuple[float | None, ...]:
    """Queued, claimed, began, ended, settled."""
    return tuple(ms(when) for when in (one.queued, one.claimed, one.began, one.ended, one.settled))
