"""Who ran what, when: written down for a bench, apart from results and broker bookkeeping.

A message that carries the header `bench_run` is measured. Its children go to queues of that run, so that a bench never
touches the real ones."""

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import signals

if TYPE_CHECKING:
    from celery import Celery

HEADER = "bench_run"
FLUSH_SECONDS = 0.05

logger = logging.getLogger(__name__)


def key(run: str) -> str:
    """A Redis list; each entry a JSON array: task_id, started, finished (unix seconds), worker."""
    return f"devctl:bench:{run}:ledger"


def queue(run: str, queue: str) -> str:
    """The queue of a run that stands for a real one."""
    return f"bench.{run}.{queue}"


class Ledger:
    """Buffers in this process; a thread writes every FLUSH_SECONDS with one command a run."""

    def __init__(self, app: "Celery") -> None:
        self._app = app
        self._entries: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._connection: Any = None  # kept: to connect anew for every flush costs more than the tasks of a bench
        self._writer_of = 0  # the process whose thread writes: a forked child has none, and starts its own

    @classmethod
    def of(cls, app: "Celery") -> "Ledger":
        """The one ledger of an app; its process flushes it when it ends."""
        book = getattr(app, "bench_ledger", None)
        if book is None:
            book = cls(app)
            app.bench_ledger = book  # type: ignore[attr-defined]
            for ending in (
                signals.worker_process_shutdown,
                signals.worker_shutdown,
            ):  # a prefork child; the worker itself
                ending.connect(lambda **_: book.flush(), weak=False)
        return book

    def record(self, run: str, task_id: str, started: float, finished: float, worker: str) -> None:
        entry = (run, json.dumps([task_id, started, finished, worker]))
        if self._writer_of != os.getpid():
            self._start()
        with self._lock:
            self._entries.append(entry)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._writing:
            with self._lock:
                entries, self._entries = self._entries, []
            if not entries:
                return
            runs: dict[str, list[str]] = {}
            for run, entry in entries:
                runs.setdefault(run, []).append(entry)
            try:
                if self._connection is None:
                    self._connection = self._app.connection_for_write()
                channel: Any = self._connection.default_channel  # a Redis channel has its client
                pipe = channel.client.pipeline(transaction=False)
                for run, lines in runs.items():
                    pipe.rpush(key(run), *lines)
                pipe.execute()
            except Exception as exc:  # a ledger that cannot be written must not fail the task; the audit tells
                self._connection = None
                logger.warning("bench ledger: %d entries not written: %s", len(entries), exc)

    def _start(self) -> None:
        with self._starting:
            if self._writer_of == os.getpid():  # another thread was quicker
                return
            self._lock, self._writing = threading.Lock(), threading.Lock()
            self._entries = []
            self._connection = None  # a parent's is not ours to use
            self._writer_of = os.getpid()
            threading.Thread(target=self._write, name="bench-ledger", daemon=True).start()

    def _write(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self.flush()
