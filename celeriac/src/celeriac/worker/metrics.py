"""Prometheus metrics of a worker; needs prometheus-client (`pip install 'celeriac[metrics]'`).

What is counted may happen in the children of the pool. A child writes two bytes for each event into a pipe. A thread of
the main process, which is the one that is asked for its metrics, counts them. A pipe has no lock that a killed child
could hold for ever, and no files to clean up."""

import os
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from celeriac import events

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("succeeded", "failed", "retrying", "revoked", "dead")
CODE_BYTES = 2


class EventCounter:
    """A counter that also counts what happens in the pool's children. All values of its labels are known beforehand:
    `EventCounter("mails", "Mails sent.", kind=["invoice", "reminder"])` is `mails_total{kind="…"}`."""

    def __init__(self, name: str, documentation: str, **labels: Iterable[str]) -> None:
        self.name, self.documentation = name, documentation
        self.labels = {label: tuple(values) for label, values in labels.items()}
        self.events = list(product(*self.labels.values()))
        self._codes = {event: code.to_bytes(CODE_BYTES, "big") for code, event in enumerate(self.events)}
        self._writing: int | None = None

    def count(self, *values: str) -> None:
        """Count one event: a value for each label, in their order. It never waits; where no metrics are served, it
        counts nothing. Raises KeyError for other values."""
        code = self._codes[values]
        if self._writing is None:
            return
        try:
            os.write(self._writing, code)
        except BlockingIOError:  # the pipe is full: better an event that is not counted than a task that waits
            return

    def __contains__(self, values: tuple[str, ...]) -> bool:
        return values in self._codes

    def serve(self, registry: "CollectorRegistry") -> None:
        """Show it in this registry. Call it before the pool forks its children."""
        from prometheus_client import Counter

        shown = Counter(self.name, self.documentation, list(self.labels), registry=registry)
        for event in self.events:
            shown.labels(*event)
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        threading.Thread(target=self._read, args=(reading, shown), name=f"metrics {self.name}", daemon=True).start()

    def _read(self, reading: int, shown: Any) -> None:
        while codes := os.read(reading, 65_536):  # always whole codes: a write of two bytes is one step
            pairs = zip(codes[::2], codes[1::2], strict=True)
            for (high, low), times in Tally(pairs).items():
                shown.labels(*self.events[high * 256 + low]).inc(times)


class Metrics:
    """All metrics of one worker. `tasks`: the names of those it owns. Raises ImportError without prometheus-client."""

    def __init__(
        self, tasks: Iterable[str], consuming: Callable[[], bool], counters: Iterable[EventCounter] = ()
    ) -> None:
        from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # of the main process; a prefork pool's children run the tasks
        bound = Gauge("consumer_bound", "1 while it is bound to its queues.", registry=self._registry)
        bound.set_function(consuming)
        self._tasks = EventCounter("celery_tasks", "Tasks by what became of them.", task=tasks, state=STATES)
        for counter in (self._tasks, *counters):
            counter.serve(self._registry)
        events.listen(self._follow)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def close(self) -> None:
        """Count no more tasks."""
        events.ignore(self._follow)

    def _follow(self, event: str, fields: Mapping[str, Any]) -> None:
        kind, _, state = event.partition(".")
        if kind == "task" and (fields["task"], state) in self._tasks:
            self._tasks.count(fields["task"], state)
