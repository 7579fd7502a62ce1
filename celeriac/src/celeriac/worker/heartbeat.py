"""Looks every two seconds whether the worker is well, and writes what it sees into a file, which
`python -m celeriac.health` judges."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from celeriac import debugger
from celeriac.events import emit

BEAT_SECONDS = 2.0  # the probe allows 15: a machine under load may be late seven times


class Heartbeat:
    """It has a thread of its own: a long task in the main thread does not stop it."""

    def __init__(self, path: Path | None, look: Callable[[], str]) -> None:
        self.path, self.look = path, look
        self._stopped = threading.Event()

    def clear(self) -> None:
        """Delete the file of an earlier run: this one does not consume yet."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)

    def start(self) -> None:
        debugger.goes_on(threading.Thread(target=self._run, name="heartbeat", daemon=True)).start()

    def stop(self) -> None:
        self._stopped.set()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        failing = False
        while not self._stopped.is_set():
            try:
                seen = self.look()
                if self.path is not None:
                    self._write(self.path, seen)
                failing = False
            except Exception as exc:  # a full disk, a folder taken away: it may heal, and the worker works meanwhile
                if not failing:
                    emit("worker.heartbeat_failed", level=logging.WARNING, error=str(exc))
                failing = True
            self._stopped.wait(BEAT_SECONDS)

    def _write(self, path: Path, seen: str) -> None:
        """In one step: who reads it never sees a half."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(seen, encoding="utf-8")
        if not self._stopped.is_set():
            new.replace(path)
