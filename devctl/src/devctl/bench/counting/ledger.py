"""By the ledger that celeriac's workbench writes in each worker: id, start, end, worker of every run of a body."""

from __future__ import annotations

from collections.abc import Sequence

from devctl.bench.counting.port import Count, Way
from devctl.broker.port import Broker


class Ledger:
    """Proves both: what ran, and how often."""

    way: Way = "ledger"

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._run, self._tasks = "", 0

    def begin(self, run: str, task_ids: Sequence[str]) -> None:
        self._run, self._tasks = run, len(task_ids)

    def done(self) -> int:
        return self._broker.executed(self._run)

    def all_done(self) -> bool:
        """A list as long as the backlog may hold one task twice and miss another."""
        return len({one.task_id for one in self._broker.ledger(self._run)}) >= self._tasks

    def running(self) -> bool:
        return False  # what runs is claimed, and the broker knows of it

    def count(self) -> Count:
        return Count(self._broker.ledger(self._run))
