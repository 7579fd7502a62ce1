"""Which setting is behind a loss, a delay or a second run: by how the workers are set up, and what the rows showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devctl.chaos.theirs.ledger import Worker
from devctl.chaos.theirs.row import Outcome

VISIBILITY_SECONDS = 3600
"""Of kombu's Redis transport, where the app says no other."""


@dataclass(frozen=True)
class Reason:
    """One setting and what it did here."""

    setting: str
    value: str
    given: bool
    """Whether the app sets it; else it is Celery's default."""
    effect: str
    rows: tuple[str, ...]


def reasons(outcomes: Sequence[Outcome], worker: Worker, task: str) -> Iterator[Reason]:
    """Name each setting once, with the rows that it shows in."""
    own = worker.tasks.get(task, {})
    found = _Found(outcomes, worker, own.get("acks_late", False), own.get("reject_on_worker_lost", False))
    yield from found.of_ends()
    yield from found.of_delays()
    yield from found.of_repeats()


@dataclass(frozen=True)
class _Found:
    outcomes: Sequence[Outcome]
    worker: Worker
    late: bool
    reject: bool

    def of_ends(self) -> Iterator[Reason]:
        lost, died = self._total("lost"), self._total("died")
        if (lost or died) and not self.late:
            effect = f"{lost + died} were acknowledged before they ran, and died with their process"
            yield self._reason("task_acks_late", self.late, effect, "lost", "died")
            return
        if died and not self.reject:
            effect = f"{died} whose process died were acknowledged as failed"
            yield self._reason("task_reject_on_worker_lost", self.reject, effect, "died")
        if lost:
            effect = f"{lost} are nowhere: to take a message and to note that it is taken are two steps"
            yield self._reason("broker_transport", self.worker.transport, effect, "lost")

    def of_delays(self) -> Iterator[Reason]:
        if (held := self._total("held")) and self.worker.transport == "redis":
            seconds = self.worker.settings.get("visibility_timeout") or VISIBILITY_SECONDS
            effect = f"{held} are held back until {duration(seconds)} has passed: not lost, late"
            yield self._reason("visibility_timeout", seconds, effect, "held")
            prefetch = self.worker.settings.get("worker_prefetch_multiplier")
            if prefetch != 1:
                effect = f"a worker takes {prefetch} tasks ahead for each process, and they are held back with it"
                yield self._reason("worker_prefetch_multiplier", prefetch, effect, "held")
        if queued := self._total("queued"):
            effect = f"{queued} wait in the queue, and the worker that runs takes none of them"
            yield self._reason("broker_transport", self.worker.transport, effect, "queued")

    def of_repeats(self) -> Iterator[Reason]:
        if twice := self._total("twice"):
            effect = f"{twice} ran twice: what a fault cuts off runs again, and must be harmless then"
            yield self._reason("task_acks_late", self.late, effect, "twice")

    def _total(self, kind: str) -> int:
        return sum(getattr(one, kind) for one in self.outcomes)

    def _reason(self, setting: str, value: object, effect: str, *kinds: str) -> Reason:
        rows = tuple(one.name for one in self.outcomes if any(getattr(one, kind) for kind in kinds))
        return Reason(setting, str(value), setting in self.worker.given, effect, rows)


def duration(seconds: float) -> str:
    """An hour, 30 s."""
    if seconds % 3600 == 0:
        return "an hour" if seconds == 3600 else f"{seconds / 3600:.0f} hours"
    return f"{seconds:g} s"
