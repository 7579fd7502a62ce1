"""Prometheus metrics of a worker; needs prometheus-client (`pip install 'celeriac[metrics]'`).

Outcomes are counted by a `Tally`, when Redis has answered. In Celery's own pools (prefork, solo), and for counters of
a service's own, what is counted may happen in a child of the pool. A child writes some bytes for each event into a
pipe. A thread of the main process, which is the one that is asked for its metrics, counts them. A pipe has no lock that
a killed child could hold for ever, and no files to clean up."""

import os
import struct
import threading
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from time import time
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.worker import state as celerys

from celeriac import events
from celeriac.correlation import PUBLISHED_AT
from celeriac.dead_letter.letters import Reason
from celeriac.retry.breaker import BREAKERS, State
from celeriac.worker.tally import END_TO_END, RUN, STARTED, STATES, UNKNOWN, WAIT, Durations, Tally, could_run_at

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PARTS = (WAIT, RUN, END_TO_END)
CODE_BYTES = 2

SHOWN = {
    "consumer_bound": "1 while it is bound to its queues.",
    "celery_tasks_total": "Tasks by what became of them, counted when Redis has their outcome.",
    "celery_dead_letters_total": "Dead letters that this worker has left.",
    "celery_task_wait_seconds": "From the publish, or from when it was due, to the begin of its body.",
    "celery_task_run_seconds": "Of its body.",
    "celery_task_end_to_end_seconds": "From the first publish until this worker read Redis's answer to its outcome: up "
    "to 0.1 s late where it has little to do. A retry has none.",
    "celery_commit_seconds": "From the end of a body until this worker read Redis's answer: up to 0.1 s late where it "
    "has little to do. Of the oldest outcome in each call.",
    "celery_leases_held": "Messages that this worker holds.",
    "celery_leases_lost_total": "Leases that were over before their message was done.",
    "celery_breaker_state": "1 for the state that a circuit breaker of this process is in.",
    "celery_pool_threads": "Task threads, or processes of the pool.",
    "celery_pool_busy": "Those of them that run a task.",
}
workers: Any = celerys  # celery-types knows half of it


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
            for (high, low), times in Counted(pairs).items():
                shown.labels(*self.events[high * 256 + low]).inc(times)


class Children:
    """Counts what happens in one of Celery's own pools, perhaps in a child: by Celery's signals, and by events. A child
    writes eight bytes for each into a pipe."""

    RECORD = struct.Struct("<HHf")  # what, which task, seconds
    WHAT = (*STATES, *PARTS, *map(str, Reason), UNKNOWN)

    def __init__(self, tally: Tally, tasks: Iterable[str]) -> None:
        self._tally, self._names = tally, (UNKNOWN, *tasks)
        self._tasks = {name: number for number, name in enumerate(self._names)}
        self._what = {name: number for number, name in enumerate(self.WHAT)}
        self._began: dict[str, float] = {}
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        threading.Thread(target=self._read, args=(reading,), name="metrics of tasks", daemon=True).start()
        signals.task_prerun.connect(self._begins, weak=False)
        signals.task_postrun.connect(self._ends, weak=False)
        events.on_event(self._follow)

    def _begins(self, task_id: str, task: Any, **_: Any) -> None:
        now, headers = time(), vars(task.request)
        self._began[task_id] = now
        self._write(STARTED, task.name)
        published = headers.get(PUBLISHED_AT)
        if isinstance(published, int | float):
            self._write(WAIT, task.name, max(0.0, now - could_run_at(headers)))

    def _ends(self, task_id: str, task: Any, **more: Any) -> None:
        now = time()
        began, published = self._began.pop(task_id, None), task.request.get(PUBLISHED_AT)
        if began is not None:
            self._write(RUN, task.name, max(0.0, now - began))
        if isinstance(published, int | float) and more.get("state") != "RETRY":
            self._write(END_TO_END, task.name, max(0.0, now - published))

    def _follow(self, event: str, fields: Mapping[str, Any]) -> None:
        kind, _, state = event.partition(".")
        if event == "task.dead":
            reason = fields.get("reason")
            self._write(reason if reason in self._what else UNKNOWN, fields["task"])
        elif state in STATES and state != STARTED and kind in ("task", "outcome"):
            self._write(state, fields["task"])

    def _write(self, what: str, task: Any, seconds: float = 0.0) -> None:
        with suppress(BlockingIOError):  # the pipe is full: better one that is not counted than a task that waits
            os.write(self._writing, self.RECORD.pack(self._what[what], self._tasks.get(task, 0), seconds))

    def _read(self, reading: int) -> None:
        while records := os.read(reading, 65_536):  # always whole ones: a write of eight bytes is one step
            for number, task_number, seconds in self.RECORD.iter_unpack(records):
                what, task = self.WHAT[number], self._names[task_number]
                if what in PARTS:
                    self._tally.took(task, what, seconds)
                elif what in STATES:
                    self._tally.count(task, what)
                else:
                    self._tally.buried(task, what)


class Metrics:
    """All metrics of one worker. Make it before the worker is made. Raises ImportError without prometheus-client."""

    def __init__(self, app: Any, consuming: Callable[[], bool], counters: Iterable[EventCounter] = ()) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._app, self._consuming = app, consuming
        self.tally = app.tally = Tally(app.tasks)  # a worker with our pool looks there
        self._registry: Any = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # of the main process; a prefork pool's children run the tasks
        self._registry.register(self)
        for counter in counters:
            counter.serve(self._registry)

    def of_celerys_pool(self) -> None:
        """Bodies run in one of Celery's own pools. Call it before that forks its children."""
        self.tally.bodies = False
        self.children = Children(self.tally, self._names())

    def text(self) -> bytes:
        """In the format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def describe(self) -> Iterator[Any]:
        """Nothing, so that to register asks for nothing."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """As prometheus-client asks a collector."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        intake = getattr(self._app, "intake", None)
        pool = None if intake is None else intake.pool
        yield GaugeMetricFamily("consumer_bound", SHOWN["consumer_bound"], value=float(self._consuming()))
        running = Counted(one.running.task.name for one in (pool.threads if pool else ()) if one.running is not None)
        states = self.tally.states(running)
        family = CounterMetricFamily("celery_tasks", SHOWN["celery_tasks_total"], labels=["task", "state"])
        for task in sorted({*self._names(), *(task for task, _ in states)}):
            for state in STATES:
                family.add_metric([task, state], states.get((task, state), 0))
        yield family
        family = CounterMetricFamily(
            "celery_dead_letters", SHOWN["celery_dead_letters_total"], labels=["task", "reason"]
        )
        # What is not there before its first event has no rate of it: each known task begins with zeros.
        reasons = {**dict.fromkeys(product(self._names(), map(str, Reason)), 0), **self.tally.reasons()}
        for (task, reason), count in sorted(reasons.items()):
            family.add_metric([task, reason], count)
        yield family
        for part in PARTS:
            name = f"celery_task_{part}_seconds"
            histogram = HistogramMetricFamily(name, SHOWN[name], labels=["task"])
            durations = {**dict.fromkeys(self._names(), Durations().shown()), **self.tally.durations(part)}
            for task, (buckets, total) in sorted(durations.items()):
                histogram.add_metric([task], buckets, total)
            yield histogram
        buckets, total = self.tally.commits()
        name = "celery_commit_seconds"
        yield HistogramMetricFamily(name, SHOWN[name], buckets=buckets, sum_value=total)
        breakers = GaugeMetricFamily("celery_breaker_state", SHOWN["celery_breaker_state"], labels=["breaker", "state"])
        for breaker, now in sorted({one.name: one.state for one in list(BREAKERS)}.items()):
            for state in State:
                breakers.add_metric([breaker, str(state)], float(state is now))
        yield breakers
        if intake is None:  # no worker with our transport, or none yet
            return
        lost = CounterMetricFamily("celery_leases_lost", SHOWN["celery_leases_lost_total"])
        lost.add_metric([], intake.leases.lost)
        yield lost
        celerys_pool = intake.celery_pool
        for name, value in (
            ("celery_leases_held", len(intake.leases.held)),
            ("celery_pool_threads", len(pool.threads) if pool else celerys_pool.processes),
            ("celery_pool_busy", sum(one.busy for one in pool.threads) if pool else len(workers.active_requests)),
        ):
            yield GaugeMetricFamily(name, SHOWN[name], value=float(value))

    def _names(self) -> list[str]:
        return [name for name in list(self._app.tasks) if not name.startswith("celery.")]
