"""A file that is touched while the worker consumes; `python -m celeriac.health` tests its age."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from celeriac.events import emit

TOUCH_SECONDS = 2.0  # the probe allows 15: a machine under load may be late seven times


class Heartbeat:
    """Touches `path` from a thread of its own while `alive()`: a long task in the main thread does not stop it."""

    def __init__(self, path: Path, alive: Callable[[], bool], interval_seconds: float = TOUCH_SECONDS) -> None:
        self.path, self.alive, self.interval_seconds = path, alive, interval_seconds
        self._stopped = threading.Event()

    def clear(self) -> None:
        """Delete the file of an earlier run: this one does not consume yet."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)

    def start(self) -> None:
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        failing = False
        while not self._stopped.is_set():
            if self.alive():
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self.path.touch()
                    failing = False
                except OSError as exc:  # a full disk, a folder taken away: it may heal, and the worker works meanwhile
                    if not failing:
                        emit("worker.heartbeat_failed", level=logging.WARNING, error=str(exc))
                    failing = True
            self._stopped.wait(self.interval_seconds)
