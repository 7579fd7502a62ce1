"""By the results that tasks leave: no worker, no start, and what is done twice is one result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devctl.bench.counting.port import Count, Way
from devctl.broker.port import Broker, Execution
from devctl.errors import DevctlError

AT_ONCE = 500
"""Results that are looked at in one go: a backlog is done from its begin, about."""
SAMPLE = 50


class Results:
    """Proves that a task was done; not by whom, and not how often."""

    way: Way = "results"

    def __init__(self, broker: Broker, now: Callable[[], float]) -> None:
        self._broker, self._now = broker, now
        self._open: list[str] = []
        self._ended: dict[str, Execution] = {}
        self._failed: set[str] = set()

    def begin(self, run: str, task_ids: Sequence[str]) -> None:
        self._open, self._ended, self._failed = list(task_ids), {}, set()

    def done(self) -> int:
        while self._look(self._open[:AT_ONCE]) and self._open:  # all of these were over: the next ones may be, too
            pass
        return len(self._ended)

    def _look(self, task_ids: Sequence[str]) -> bool:
        """Take in what is over of these; whether all were."""
        for result in self._broker.results(task_ids):
            if result.state in ("succeeded", "failed"):
                at = self._now() if result.finished is None else result.finished
                self._ended[result.task_id] = Execution(result.task_id, at, at, "")
                if result.state == "failed":
                    self._failed.add(result.task_id)
        self._open = [one for one in self._open if one not in self._ended]
        return all(one in self._ended for one in task_ids)

    def all_done(self) -> bool:
        self._look(self._open)
        return not self._open

    def running(self) -> bool:
        return False  # nobody tells

    def count(self) -> Count:
        self._look(self._open)
        lost = bool(self._ended)  # these tasks leave results: one without was not done
        return Count(
            list(self._ended.values()),
            failed=frozenset(self._failed),
            unknown=frozenset() if lost else frozenset(self._open),
        )


def ended(broker: Broker, task_ids: Sequence[str]) -> dict[str, float | None]:
    """Those of which a result says that they are over, and when; none where results cannot be read."""
    try:
        return {one.task_id: one.finished for one in broker.results(task_ids) if one.state in ("succeeded", "failed")}
    except DevctlError:
        return {}


def stored(broker: Broker, task_ids: Sequence[str]) -> bool:
    """Whether tasks that have ended leave results."""
    sample = task_ids[:SAMPLE]
    return bool(sample) and len(ended(broker, sample)) == len(sample)
