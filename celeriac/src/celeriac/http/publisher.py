"""Publishes for callers who wait: it ends in time, in an error that the error answers know."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog

from celeriac.errors import Conflict, NotPublished, OutcomeUnknown, PublishError, QueueFull
from celeriac.http import faults
from celeriac.http.calls import Calls, NoAnswer
from celeriac.http.faults import FAILURES, BrokerUnavailable
from celeriac.http.markers import Markers
from celeriac.publish.outgoing import Outgoing, chunks
from celeriac.publish.publisher import Publisher, Tell, unheard
from celeriac.published import Published

Count = Callable[[str, str, int], None]  # task, what became of it, how many

log = structlog.get_logger("celeriac.http.publisher")


class PatientPublisher(Publisher):
    """Asks Redis through `calls`. `markers`: of results that live apart; None: marker and message are one step."""

    def __init__(self, parts: tuple[Any, ...], calls: Calls, markers: Markers | None, count: Count) -> None:
        super().__init__(*parts)
        self._in_time = calls
        self._markers = markers
        self._count = count

    def place(self, message: Outgoing) -> Published:
        return self._published([message])

    def publish_all(self, messages: Iterable[Outgoing], tell: Tell = unheard) -> Published:
        became, waiting = Published(), chunks(messages)
        for chunk in waiting:
            try:
                now = self._published(chunk)
            except (PublishError, Conflict) as exc:
                now = exc.published or Published()
                tell(chunk, now)
                unsent = tuple(one.task_id for later in waiting for one in later)
                exc.published = became + now + Published(refused=unsent)
                raise
            tell(chunk, now)
            became += now
        return became

    def now_us(self) -> int:
        try:
            return self._in_time(super().now_us)
        except (BrokerUnavailable, NoAnswer) as exc:
            raise NotPublished("the broker does not tell its time") from exc

    def _published(self, chunk: list[Outgoing]) -> Published:
        try:
            became = self._sent(chunk)
        except Exception as exc:
            self._count(chunk[0].task, outcome(exc), len(chunk))
            if isinstance(exc, OutcomeUnknown):
                log.error("publish.outcome_unknown", task_ids=[one.task_id for one in chunk], reason=faults.reason(exc))
            raise
        for name, ids in (("accepted", became.accepted), ("repeated", became.duplicates)):
            if ids:
                self._count(chunk[0].task, name, len(ids))
        return became

    def _sent(self, chunk: list[Outgoing]) -> Published:
        ids = tuple(one.task_id for one in chunk)
        what = f"task {ids[0]}" if len(ids) == 1 else f"{len(ids):,} tasks"
        try:
            return self._in_time(partial(self._marked, chunk) if self._markers else partial(self._straight, chunk))
        except BrokerUnavailable as exc:
            raise NotPublished(f"{what} not published: {exc}", Published(refused=ids)) from exc
        except NoAnswer as exc:
            raise OutcomeUnknown(f"no answer, {what} may be published or not", Published(unknown=ids)) from exc

    def _straight(self, chunk: list[Outgoing]) -> Published:
        return super().publish_all(chunk)

    def _marked(self, chunk: list[Outgoing]) -> Published:
        added: list[str] = []
        try:
            added += (one.task_id for one in chunk if one.marker and self._mark(one))
            return super().publish_all([one._replace(marker=b"") for one in chunk])
        except Exception as exc:
            became: Published = getattr(exc, "published", None) or Published()
            there = {*became.accepted, *became.duplicates, *became.unknown}  # or perhaps there: they stay known
            for task_id in added:
                if task_id not in there:
                    self._markers.remove(task_id)  # type: ignore[union-attr]  # asked by _sent
            raise

    def _mark(self, message: Outgoing) -> bool:
        try:
            return self._markers.add(message.task_id, message.marker)  # type: ignore[union-attr]  # asked by _sent
        except FAILURES as exc:
            raise BrokerUnavailable(faults.reason(exc)) from exc


def outcome(error: Exception) -> str:
    """What the metrics call it."""
    for kind, name in ((QueueFull, "full"), (OutcomeUnknown, "unknown"), (Conflict, "conflict")):
        if isinstance(error, kind):
            return name
    return "unavailable"
