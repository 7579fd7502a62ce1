"""How tasks are counted where the workers know nothing of a bench: by events, by results, and what neither proves."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from devctl.tests.unit.bench.lab import MACHINE
from devctl.tests.unit.bench.simulation import SimulatedMeter, shop

from devctl.bench import events
from devctl.bench.counting.events import Events
from devctl.bench.counting.results import Results
from devctl.bench.plan import Plan, parse_task
from devctl.bench.report import Report, document
from devctl.bench.run import Ports, run
from devctl.bench.workload import given
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import EventKind, TaskEvent, TaskEvents, TaskResult
from devctl.clock import FakeClock
from devctl.errors import DevctlError
from devctl.measurement.serving import Call
from devctl.measurement.store import Store
from devctl.stack.fake import FakeRuntime
from devctl.ui.bench import lines
from devctl.ui.paint import Paint
from devctl.undo.guard import Guard
from devctl.undo.steps import Undo


@dataclass
class Told:
    """What was told, by hand."""

    came: list[TaskEvent] = field(default_factory=list)
    problem: str = ""

    def taken(self) -> list[TaskEvent]:
        came, self.came = self.came, []
        return came

    def tell(self, task_id: str, *kinds: EventKind, node: str = "w@1") -> None:
        for kind in kinds:
            self.came.append(TaskEvent(kind, task_id, 100.0 + len(self.came), node))


def by_events(*task_ids: str, results: dict[str, TaskResult] | None = None) -> tuple[Events, Told]:
    told, broker = Told(), MemoryBroker()
    broker._results |= results or {}
    counting = Events(broker, told)
    counting.begin("r", task_ids)
    return counting, told


def done(task_id: str) -> TaskResult:
    return TaskResult(task_id, "succeeded", finished=7.0)


def test_a_task_is_done_when_it_was_seen_to_end_by_its_worker_and_time() -> None:
    counting, told = by_events("a", "b")
    told.tell("a", "received", "started", "succeeded")
    told.tell("of somebody else", "received", "started", "succeeded")

    assert 1 == counting.done()
    assert not counting.all_done()
    (execution,) = counting.count().executions
    assert ("a", 101.0, 102.0, "w@1") == (execution.task_id, execution.started, execution.finished, execution.worker)


def test_what_was_received_and_did_not_end_is_running_whatever_the_queue_says() -> None:
    counting, told = by_events("a")
    told.tell("a", "received")
    counting.done()
    assert counting.running()

    told.tell("a", "started", "failed")
    counting.done()
    assert not counting.running()
    assert frozenset("a") == counting.count().failed


def test_what_has_a_result_does_not_run_though_its_end_was_not_heard() -> None:
    counting, told = by_events("a", results={"a": done("a")})
    told.tell("a", "received", "started")
    counting.done()

    assert not counting.running()


def test_an_event_that_was_lost_is_looked_up_among_the_results() -> None:
    counting, told = by_events("a", "b", results={"b": done("b")})
    told.tell("a", "started", "succeeded")

    count = counting.count()

    assert frozenset("b") == count.unseen
    assert frozenset() == count.unknown
    assert {"a": 101.0, "b": 7.0} == {one.task_id: one.finished for one in count.executions}


def test_without_results_a_task_that_nobody_saw_end_is_unknown_and_not_lost() -> None:
    counting, told = by_events("a", "b")
    told.tell("a", "started", "succeeded")

    assert frozenset("b") == counting.count().unknown


def test_where_tasks_leave_results_one_without_is_lost_and_that_is_proved() -> None:
    counting, told = by_events("a", "b", results={"a": done("a")})
    told.tell("a", "started", "succeeded")

    count = counting.count()

    assert (frozenset(), frozenset()) == (count.unseen, count.unknown)
    assert ["a"] == [one.task_id for one in count.executions]


def test_two_starts_are_two_runs_but_not_after_a_retry() -> None:
    counting, told = by_events("a", "b")
    told.tell("a", "started", "started", "succeeded")
    told.tell("b", "started", "retried", "started", "succeeded")

    assert frozenset("a") == counting.count().started_again


def test_a_new_run_begins_with_nothing_of_the_one_before() -> None:
    counting, told = by_events("a")
    told.tell("a", "started", "succeeded")

    counting.begin("r2", ["b"])

    assert 0 == counting.done()


def test_results_say_when_it_was_done_and_not_by_whom() -> None:
    broker = MemoryBroker()
    broker._results |= {"a": done("a"), "b": TaskResult("b", "failed", finished=9.0)}
    counting = Results(broker, lambda: 50.0)
    counting.begin("r", ["a", "b", "c"])

    assert 2 == counting.done()
    count = counting.count()
    assert [("a", 7.0, ""), ("b", 9.0, "")] == [(one.task_id, one.finished, one.worker) for one in count.executions]
    assert (frozenset("b"), frozenset()) == (count.failed, count.unknown)


def test_more_results_than_are_looked_at_in_one_go_are_all_found() -> None:
    broker = MemoryBroker()
    ids = [str(n) for n in range(1_700)]
    broker._results |= {one: done(one) for one in ids}
    counting = Results(broker, lambda: 50.0)
    counting.begin("r", ids)

    assert 1_700 == counting.done()
    assert counting.all_done()


class Deaf(MemoryBroker):
    """Its workers say that they send events, and none comes."""

    @contextmanager
    def events(self) -> Iterator[TaskEvents]:
        yield Told()


def resize(path: str, width: int) -> str:
    return f"{path}@{width}"


class Foreign:
    """A stack whose workers know nothing of a bench."""

    def __init__(self, folder: Path, kind: type[MemoryBroker] = MemoryBroker, body: Any = resize) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(shop(2), clock=self.clock)
        self.runtime.start("redis", "worker")
        self.clock.sleep(1)
        self.broker = kind(clock=self._tick)
        for n in (1, 2):
            self.broker.add_worker(f"worker@{n}", queues=["images"], bodies={"images.resize": body})
        self.guard = Guard(Undo(lambda: self.runtime, lambda: self.broker, self.clock))
        self.store = Store.new(folder, time.time())
        self.said: list[events.Event] = []

    def _tick(self) -> float:
        self.clock.sleep(0.001)
        return self.clock.now()

    def bench(self, **fields: Any) -> Report:
        plan = Plan(parse_task("images.resize"), (1, 2), **{"repeats": 3, "tasks": 60, "warmup_seconds": 0, **fields})
        meter = SimulatedMeter(self.clock)
        ports = Ports(self.runtime, lambda: self.broker, self.guard, self.clock, meter, self.store, MACHINE)
        try:
            return run(plan, given(Call("images.resize", "images", ("a.jpg",), {"width": 80})), ports, self.said.append)
        finally:
            self.guard.undo_all()


def test_workers_that_know_nothing_of_it_are_measured_by_their_events(tmp_path: Path) -> None:
    lab = Foreign(tmp_path)

    report = lab.bench()

    assert "events" == report.counted.way
    assert (360, 360, 0, 0) == (
        report.audit.published, report.audit.executed, report.audit.lost, report.audit.duplicated,
    )  # fmt: skip
    assert {"worker@1", "worker@2"} == {*report.points[1].runs[0].shares}
    assert {(("a.jpg",), 80)} == {(one.args, one.kwargs["width"]) for one in lab.broker.published}
    assert "events" == document(report)["counted"]["by"]
    shown = "\n".join(lines(report, Paint(io.StringIO())))
    assert "by task events" in shown
    assert "Not proved" in shown


def test_events_are_off_again_afterwards_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    lab = Foreign(tmp_path)

    lab.bench()

    assert [False, False] == [worker.tells for worker in lab.broker.workers]
    assert [["images"], ["images"]] == [worker.queues for worker in lab.broker.workers]
    assert {} == lab.broker._results
    assert ["images"] == [one.name for one in lab.broker.queues([])]


def test_a_worker_that_sent_events_before_goes_on(tmp_path: Path) -> None:
    lab = Foreign(tmp_path)
    lab.broker.workers[0].tells = True

    lab.bench()

    assert [True, False] == [worker.tells for worker in lab.broker.workers]


def test_an_interrupt_switches_the_events_off(tmp_path: Path) -> None:
    lab = Foreign(tmp_path)

    def interrupted(event: events.Event) -> None:
        if isinstance(event, events.RunDone):
            raise KeyboardInterrupt

    lab.said = type("Listener", (), {"append": staticmethod(interrupted)})()  # type: ignore[assignment]  # it only appends
    with pytest.raises(KeyboardInterrupt):
        lab.bench()

    assert [False, False] == [worker.tells for worker in lab.broker.workers]


class HardOfHearing(MemoryBroker):
    """Over its Redis, the last end of each run gets lost."""

    def _tell(self, worker: Any, kind: EventKind, message: Any) -> None:
        if kind == "received" or message is not self.published[-1]:
            super()._tell(worker, kind, message)


def test_a_run_whose_last_event_was_lost_ends_all_the_same_and_says_so(tmp_path: Path) -> None:
    lab = Foreign(tmp_path, HardOfHearing)
    begun = lab.clock.now()

    report = lab.bench()

    assert lab.clock.now() - begun < 60
    assert (360, 360, 0) == (report.audit.published, report.audit.executed, report.audit.lost)
    assert "unseen" in {one.code for one in report.cautions}


def test_without_events_results_count(tmp_path: Path) -> None:
    report = Foreign(tmp_path, Deaf).bench()

    assert "results" == report.counted.way
    assert 360 == report.audit.executed
    assert {"no-workers"} <= {one.code for one in report.cautions}
    assert not {"idle-worker", "uneven"} & {one.code for one in report.cautions}


def test_a_task_that_fails_is_not_measured(tmp_path: Path) -> None:
    def broken(path: str, width: int) -> None:
        raise OSError("no such file")

    with pytest.raises(DevctlError, match="fails with these arguments"):
        Foreign(tmp_path, body=broken).bench()


def test_one_that_fails_now_and_then_is_counted_and_said(tmp_path: Path) -> None:
    calls = iter(range(10_000))

    def flaky(path: str, width: int) -> None:
        if next(calls) % 10 == 9:
            raise OSError("now and then")

    report = Foreign(tmp_path, body=flaky).bench()

    assert report.audit.clean
    assert 0 < report.audit.failed < 60
    assert "failed" in {one.code for one in report.cautions}
