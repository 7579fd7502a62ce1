"""Where results live apart from the broker: a task is known there before it is published, and not if it was refused."""

from collections import deque
from typing import Any

from celeriac.http import faults
from celeriac.http.faults import FAILURES
from celeriac.publish.outgoing import MARKER_MS

MOST_LEFTOVERS = 10_000


class Markers:
    """Result entries that say PENDING, in a Redis that publish.lua does not reach."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend  # Celery's, for Redis
        # Markers that may yet appear, of tasks that were not published: a Redis that was paused does what it was told
        # when it wakes up.
        self._leftovers: deque[str] = deque(maxlen=MOST_LEFTOVERS)

    def add(self, task_id: str, marker: bytes) -> bool:
        """From here on the task is known: pending. False: it was known before."""
        try:
            return bool(self._backend.client.set(self._key(task_id), marker, nx=True, px=MARKER_MS))
        except FAILURES as exc:
            if not faults.not_executed(exc):
                self._leftovers.append(task_id)
            raise

    def remove(self, task_id: str) -> None:
        """There is no such task after all. If it cannot be said now, it is said when Redis is back."""
        try:
            self._backend.client.delete(self._key(task_id))
        except FAILURES:
            self._leftovers.append(task_id)

    def remove_leftovers(self) -> None:
        """Raises what Redis raises; the rest is kept for another time."""
        while self._leftovers:
            self._backend.client.delete(self._key(self._leftovers[0]))
            self._leftovers.popleft()

    def _key(self, task_id: str) -> Any:
        return self._backend.get_key_for_task(task_id)
