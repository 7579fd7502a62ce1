"""A thread that publishes as fast as tasks are done."""

from __future__ import annotations

import threading
from collections.abc import Callable

from devctl.chaos.publishing import PATIENCE_SECONDS

IN_FLIGHT, BATCH = 10_000, 500
"""So many tasks wait or run at most: workers always find some, and Redis never holds many."""
AGAIN_SECONDS, GIVE_UP_SECONDS = 0.3, 20.0
_LOOK_SECONDS = 0.03

Publish = Callable[[range], None]
"""Puts the tasks with these numbers into the broker. What it raises, whatever it is, means "not confirmed"."""


class Supply:
    """Publishes tasks 0, 1, 2, … in batches; a batch that is not confirmed is published again."""

    def __init__(self, publish: Publish, done: Callable[[], int]) -> None:
        self._publish, self._done = publish, done
        self._over, self._gives_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.accepted = self.sent = 0
        """How many tasks are confirmed, and were tried: the first ones."""
        self.refused = 0
        """Attempts that were not confirmed."""

    def begin(self) -> None:
        """Publish from now on."""
        self._thread.start()

    def end(self) -> None:
        """Nothing new; what was not confirmed is tried again for a while."""
        self._over.set()
        self._thread.join(GIVE_UP_SECONDS)
        self._gives_up.set()
        self._thread.join(2 * PATIENCE_SECONDS)

    def _work(self) -> None:
        while not self._gives_up.is_set():
            confirmed = self.accepted == self.sent
            if confirmed and self._over.is_set():
                return
            if confirmed and self.accepted + BATCH - self._done() > IN_FLIGHT:
                self._over.wait(_LOOK_SECONDS)
                continue
            self.sent = self.accepted + BATCH
            try:
                self._publish(range(self.accepted, self.sent))
            except Exception:  # whatever a client raises
                self.refused += 1
                self._gives_up.wait(AGAIN_SECONDS)
            else:
                self.accepted = self.sent
