"""By Celery's task events: received, started, succeeded, failed, by unique id, with worker and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from devctl.bench.counting.port import Count, Way
from devctl.bench.counting.results import ended, stored
from devctl.broker.port import Broker, Execution, TaskEvent, TaskEvents


@dataclass
class _Life:
    """What was told of one task."""

    received: TaskEvent | None = None
    starts: list[TaskEvent] = field(default_factory=list)
    ends: list[TaskEvent] = field(default_factory=list)
    retries: int = 0


class Events:
    """What nobody hears is gone: an end that is missing is looked up among the results, and else is unknown."""

    way: Way = "events"

    def __init__(self, broker: Broker, events: TaskEvents) -> None:
        self._broker, self._events = broker, events
        self._lives: dict[str, _Life] = {}
        self._done = 0

    def begin(self, run: str, task_ids: Sequence[str]) -> None:
        self._events.taken()
        self._lives, self._done = {one: _Life() for one in task_ids}, 0

    def done(self) -> int:
        for event in self._events.taken():
            if life := self._lives.get(event.task_id):
                self._note(life, event)
        return self._done

    def _note(self, life: _Life, event: TaskEvent) -> None:
        match event.kind:
            case "received":
                life.received = event
            case "started":
                life.starts.append(event)
            case "retried":
                life.retries += 1
            case "succeeded" | "failed":
                self._done += not life.ends
                life.ends.append(event)

    def all_done(self) -> bool:
        return self.done() >= len(self._lives)

    def running(self) -> bool:
        """What has a result does not run any more, whatever was not heard of it."""
        open_ = [one for one, life in self._lives.items() if (life.received or life.starts) and not life.ends]
        return len(ended(self._broker, open_)) < len(open_)

    def heard(self) -> bool:
        """Whether anything was told of this run."""
        self.done()
        return any(life.received or life.starts or life.ends for life in self._lives.values())

    def count(self) -> Count:
        self.done()
        missing = [one for one, life in self._lives.items() if not life.ends]
        unseen = ended(self._broker, missing)
        unknown = set(missing) - unseen.keys()
        # A task that was done has left its result, where tasks leave results: without one it was not done.
        if unknown and stored(self._broker, [one for one, life in self._lives.items() if life.ends]):
            unknown = set()
        heard = [_execution(life, end) for life in self._lives.values() for end in life.ends]
        looked_up = [_unheard(one, self._lives[one], at) for one, at in unseen.items() if at is not None]
        return Count(
            [*heard, *looked_up],
            failed=frozenset(
                one for one, life in self._lives.items() if any(end.kind == "failed" for end in life.ends)
            ),
            started_again=frozenset(one for one, life in self._lives.items() if len(life.starts) > 1 + life.retries),
            unseen=frozenset(unseen),
            unknown=frozenset(unknown),
        )


def _unheard(task_id: str, life: _Life, at: float) -> Execution:
    """Its end by its result; whose it was, an event before that may say."""
    known = [*life.starts, *([life.received] if life.received else [])]
    return Execution(task_id, min(at, known[0].at) if life.starts else at, at, known[0].node if known else "")


def _execution(life: _Life, end: TaskEvent) -> Execution:
    """With the last start on that worker before this end; one whose start was not heard is as short as can be."""
    starts = [one.at for one in life.starts if one.node == end.node and one.at <= end.at]
    return Execution(end.task_id, max(starts, default=end.at), end.at, end.node)
