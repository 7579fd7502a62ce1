"""What the records of steps tell as they come in: rates, what runs, what failed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devctl.dash.model import Failure, RunningTask

if TYPE_CHECKING:
    from celeriac.life.record import Record

RATE_SECONDS = 10.0
MOST_FAILURES = 200
MOST_CLAIMS = 20_000
"""Whose queue is remembered: an outcome tells its tag alone."""
_IN = ("published", "replayed")
_OUT = ("committed", "failed", "dead")
_FAILURES = ("retried", "failed", "dead")
_ENDS = frozenset((*_OUT, "retried", "returned", "refused", "repeated"))


class Steps:
    """Takes records in, by time; forgets what is of no more use."""

    def __init__(self) -> None:
        self.failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        """The oldest first; without ids of letters."""
        self.dead = 0
        """How many were seen to die."""
        self._claims: OrderedDict[str, str] = OrderedDict()  # tag -> queue
        self._queues: dict[str, str] = {}  # task -> the queue where it was last sent to
        self._counts: dict[str, deque[list[float]]] = {}  # queue -> [second, in, out]
        self._running: dict[str, tuple[str, RunningTask, float]] = {}  # id -> node, task, since

    def take(self, records: Iterable[Record]) -> set[str]:
        """The ids of the tasks whose run is over."""
        over = set()
        for one in records:
            kind, queue = one.kind, one.queue
            if kind == "claimed":
                self._claims[one.tag] = queue
                continue
            if kind in _IN:
                self._count(queue, one.at, 1)
                self._queues[one.task] = queue
                continue
            if kind in _ENDS:
                queue = self._claims.pop(one.tag, "") or queue or self._queues.get(one.task, "")
                if kind in _OUT:
                    self._count(queue, one.at, 2)
                if kind in _FAILURES:
                    self._fail(one, queue)
                self._running.pop(one.task_id, None)
                over.add(one.task_id)
            elif kind in ("started", "progress"):  # either may come first
                _, run, since = self._running.get(one.task_id) or ("", RunningTask(one.task, one.task_id, 0.0), one.at)
                if kind == "progress":
                    run = replace(run, progress=one.progress, note=one.note)
                self._running[one.task_id] = one.who, run, one.since or since
        while len(self._claims) > MOST_CLAIMS:
            self._claims.popitem(last=False)
        return over

    def settle(self, node: str, runs: Sequence[str], asked: float) -> None:
        """A worker has said what it runs: what it had begun well before, and does not run, ended unseen."""
        for task_id, (where, _, since) in list(self._running.items()):
            if where == node and task_id not in runs and since < asked - 1.0:
                del self._running[task_id]

    def running(self, node: str, now: float) -> dict[str, RunningTask]:
        """What a worker runs: id -> task."""
        return {
            task_id: replace(run, seconds=max(0.0, now - since))
            for task_id, (where, run, since) in self._running.items()
            if where == node
        }

    def rates(self, queue: str, now: float) -> tuple[float, float]:
        """Messages a second, in and out, of the last whole seconds."""
        counts, this = self._counts.get(queue, deque()), now // 1
        while counts and counts[0][0] < this - RATE_SECONDS:
            counts.popleft()
        whole = [one for one in counts if one[0] < this]
        return sum(one[1] for one in whole) / RATE_SECONDS, sum(one[2] for one in whole) / RATE_SECONDS

    def busy(self, now: float) -> list[str]:
        """The queues that something happened in, as long as rates look back."""
        recent = now - RATE_SECONDS - 1
        return [queue for queue, counts in self._counts.items() if queue and counts and counts[-1][0] > recent]

    def _count(self, queue: str, at: float, column: int) -> None:
        counts = self._counts.setdefault(queue, deque())
        if not counts or counts[-1][0] < at // 1:
            counts.append([at // 1, 0, 0])
        counts[-1][column] += 1

    def _fail(self, one: Record, queue: str) -> None:
        kind = str(one.kind)
        assert kind in _FAILURES
        self.dead += kind == "dead"
        self.failures.append(Failure(one.at, kind, one.task, one.task_id, queue, one.error, one.reason))  # type: ignore[arg-type]  # one of the three
