"""The ledger of `devctl bench`: which worker ran which task, and when. It is independent of results and of the broker's
keys.

Where it is mounted, a message with the header `bench_run` is watched. Its follow-ups go to queues of that run, so a
bench never uses the real queues."""

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from celery import signals

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

HEADER = "bench_run"
FLUSH_SECONDS = 0.05

logger = logging.getLogger(__name__)


def key(run: str) -> str:
    """A Redis list; each entry a JSON array: task_id, started, finished (unix seconds), worker."""
    return f"devctl:bench:{run}:ledger"


def queue_of(run: str, queue: str) -> str:
    """The queue of a bench run in place of a real queue."""
    return f"bench.{run}.{queue}"


class BenchRun:
    """One run of a measured task: a Watch."""

    __slots__ = ("_ledger", "_run", "headers")

    def __init__(self, ledger: "BenchLedger", run: str) -> None:
        self._ledger, self._run, self.headers = ledger, run, {HEADER: run}

    def queue(self, queue: str) -> str:
        return queue_of(self._run, queue)

    def done(self, task_id: str, started: float, finished: float, worker: str) -> None:
        self._ledger.record(self._run, task_id, started, finished, worker)


class BenchLedger:
    """An observer. Its entries are kept in this process; a thread writes them every FLUSH_SECONDS, with one command for
    each run. When the process ends, it writes the rest."""

    _entries: dict[str, list[str]]
    _writer: threading.Thread | None
    _connection: "Connection | None"

    def __init__(self, app: "Celery") -> None:
        self._app = app
        self._reset()
        # A forked child has no writer thread; its parent writes the entries of the parent.
        os.register_at_fork(after_in_child=self._reset)
        signals.worker_process_shutdown.connect(self.close)  # a child of the prefork pool
        signals.worker_shutdown.connect(self.close)

    def watch(self, request: Any) -> BenchRun | None:
        """Watches the runs of messages with the header."""
        run = request.get(HEADER)
        return BenchRun(self, run) if isinstance(run, str) and run else None

    def record(self, run: str, task_id: str, started: float, finished: float, worker: str) -> None:
        entry = json.dumps([task_id, started, finished, worker])
        with self._lock:
            self._entries.setdefault(run, []).append(entry)
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="bench-ledger", daemon=True)
                self._writer.start()

    def flush(self) -> None:
        """Write what is buffered."""
        with self._writing:
            with self._lock:
                entries, self._entries = self._entries, {}
            if not entries:
                return
            try:
                # The connection stays open: a new one every 50 ms would disturb what is measured.
                self._connection = self._connection or self._app.connection_for_write()
                channel: Any = self._connection.default_channel  # a Redis channel has its client
                pipe = channel.client.pipeline(transaction=False)
                for run, lines in entries.items():
                    pipe.rpush(key(run), *lines)
                pipe.execute()
            except Exception as exc:  # a ledger that cannot be written must not fail the task; the audit tells
                self._connection = None
                count = sum(map(len, entries.values()))
                logger.warning("bench ledger: %d entries not written: %s", count, exc)

    def close(self, **_: Any) -> None:
        self.flush()
        if self._connection is not None:
            self._connection.release()
            self._connection = None

    def _reset(self) -> None:
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._entries = {}
        self._writer = None
        self._connection = None

    def _write(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self.flush()
