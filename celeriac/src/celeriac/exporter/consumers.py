"""Who consumes: what workers answer to Celery's remote control, asked every 15 seconds and remembered for 45. While
nobody answers, they are asked every 2 seconds: a stack that starts has workers soon.

Redis does not know who consumes a queue while nothing is in it. An answer is the truth of the worker itself. One that
is busy (solo, in the middle of a task) misses a question now and then, so it counts until it has missed three."""

import logging
import threading
from collections import Counter
from time import monotonic
from typing import Any

from celeriac.events import emit
from celeriac.redaction import redact

ASK_SECONDS, REMEMBERED_SECONDS, ANSWER_SECONDS = 15.0, 47.0, 1.0
NOBODY_SECONDS = 2.0


class Consumers:
    """Asks in a thread of its own, and only while somebody wants to know."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._queues: dict[str, tuple[float, tuple[str, ...]]] = {}  # node -> when it answered, its queues
        self._asked_at = float("-inf")
        self._asking = threading.Lock()
        self._silent = False
        self.known = False
        """Whether workers were asked yet."""

    def wanted(self) -> None:
        """Ask soon, unless that was done a moment ago."""
        pause = ASK_SECONDS if self._living() else NOBODY_SECONDS
        if monotonic() - self._asked_at >= pause and self._asking.acquire(blocking=False):
            self._asked_at = monotonic()
            threading.Thread(target=self._ask, name="consumers", daemon=True).start()

    @property
    def workers(self) -> int:
        return len(self._living())

    def by_queue(self) -> Counter[str]:
        """Queue -> how many workers consume it."""
        return Counter(queue for queues in self._living().values() for queue in queues)

    def _living(self) -> dict[str, tuple[str, ...]]:
        now = monotonic()
        known = list(self._queues.items())
        return {node: queues for node, (at, queues) in known if now - at < REMEMBERED_SECONDS}

    def _ask(self) -> None:
        try:
            answers = self._app.control.broadcast("active_queues", reply=True, timeout=ANSWER_SECONDS)
            now = monotonic()
            for answer in answers or ():
                for node, queues in answer.items():
                    if isinstance(queues, list):
                        self._queues[node] = now, tuple(str(one.get("name")) for one in queues)
            for node in self._queues.keys() - self._living().keys():
                del self._queues[node]
            self.known, self._silent = True, False
        except Exception as exc:  # of the broker, or a strange answer: the next question may do better
            if not self._silent:
                emit("exporter.not_asked", level=logging.WARNING, error=redact(str(exc)))
            self._silent = True
        finally:
            self._asking.release()
