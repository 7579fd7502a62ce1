"""One request's way through the services, read from their structured logs. Pure: records in, spans out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PUBLISHED = "task.published"
STARTED = "task.started"
ENDED = {"task.succeeded": "succeeded", "task.failed": "failed"}


@dataclass(frozen=True)
class Span:
    """One task of the journey; seconds since the request was sent, None for what has not happened."""

    service: str
    task: str
    task_id: str
    published: float | None = None
    started: float | None = None
    ended: float | None = None
    state: str = "waiting"


@dataclass(frozen=True)
class Note:
    """Another event that carries the correlation id, such as `mail.delivered`."""

    service: str
    event: str
    at: float
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Journey:
    """All spans in order of their publication, and the notes between them."""

    spans: tuple[Span, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def complete(self) -> bool:
        """Something was published, and everything that was published has ended."""
        return bool(self.spans) and all(span.ended is not None for span in self.spans)

    @property
    def failed(self) -> bool:
        """A task of it ended in failure."""
        return any(span.state == "failed" for span in self.spans)

    @property
    def seconds(self) -> float:
        """From the request to the last end that is known."""
        return max((span.ended or 0.0 for span in self.spans), default=0.0)


def read(records: Iterable[Mapping[str, Any]], correlation_id: str, sent_at: float) -> Journey:
    """Put together the journey of `correlation_id`; `sent_at` (unix seconds) is its zero."""
    spans: dict[str, dict[str, Any]] = {}
    notes: list[Note] = []
    for record in records:
        if record.get("correlation_id") != correlation_id:
            continue
        at = _unix_seconds(record.get("timestamp")) - sent_at
        event, service = str(record.get("event", "")), str(record.get("service", ""))
        if event != PUBLISHED and event != STARTED and event not in ENDED:
            notes.append(Note(service, event, at, _details(record)))
            continue
        task_id = str(record.get("task_id", ""))
        span = spans.setdefault(task_id, {"service": "", "task": str(record.get("task", "")), "task_id": task_id})
        if event == PUBLISHED:
            span["published"] = at
        elif event == STARTED:
            span |= {"started": at, "service": service, "state": "running"}
            waited = record.get("queue_seconds")
            span["put"] = at - waited if isinstance(waited, int | float) else at
        else:
            span |= {"ended": at, "service": service, "state": ENDED[event]}
    for span in spans.values():
        # A publication is told when it is committed: by then another service may have started what was published.
        put = span.pop("put", None)
        if put is not None and span.get("published", put) > span["started"]:
            span["published"] = put
    ordered = sorted(spans.values(), key=lambda s: s.get("published", s.get("started", s.get("ended", 0.0))))
    return Journey(tuple(Span(**span) for span in ordered), tuple(sorted(notes, key=lambda note: note.at)))


def _unix_seconds(timestamp: object) -> float:
    return datetime.fromisoformat(str(timestamp)).timestamp()


def _details(record: Mapping[str, Any]) -> dict[str, Any]:
    known = {"timestamp", "service", "event", "level", "correlation_id"}
    return {name: value for name, value in record.items() if name not in known}
