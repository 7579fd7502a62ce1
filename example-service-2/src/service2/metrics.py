"""What is counted, although it happens in other processes: the pool's children write a byte for each event into a pipe,
and a thread of the main process, the one that is asked for its metrics, counts the bytes.

A pipe has no lock that a killed child could take along, and no files to clean up."""

import os
import threading
from collections import Counter as Tally
from collections.abc import Callable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from common_tasks.schemas import NotificationType

EVENTS = list(product((kind.value for kind in NotificationType), ("delivered", "failed")))


class Metrics:
    def __init__(self, consuming: Callable[[], bool]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # of the main process; its children run the tasks
        self._notifications = Counter(
            "notifications", "Attempts to deliver.", ["notification_type", "outcome"], registry=self._registry
        )
        for event in EVENTS:
            self._notifications.labels(*event)
        bound = Gauge("consumer_bound", "1 while it is bound to its queues.", registry=self._registry)
        bound.set_function(consuming)
        self._reading, self._writing = os.pipe()
        # Full when nobody reads it: better an event that is not counted than a task that waits.
        os.set_blocking(self._writing, False)

    def start(self) -> None:
        threading.Thread(target=self._read, name="metrics", daemon=True).start()

    def count(self, notification_type: str, outcome: str) -> None:
        """From any process that was forked from this one."""
        try:
            os.write(self._writing, bytes([EVENTS.index((notification_type, outcome))]))
        except BlockingIOError:
            return

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _read(self) -> None:
        while codes := os.read(self._reading, 65_536):
            for code, times in Tally(codes).items():
                self._notifications.labels(*EVENTS[code]).inc(times)
