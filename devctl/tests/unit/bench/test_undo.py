"""The list of what has to be put back: as JSON, backwards, and by a guard that has only the list."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from devctl.tests.unit.bench.simulation import shop

from devctl import guard as guard_process
from devctl.broker import runs
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Message
from devctl.clock import FakeClock
from devctl.errors import DevctlError, WaitTimeout
from devctl.stack.fake import FakeRuntime
from devctl.undo.guard import Guard, _unfinished
from devctl.undo.steps import EndRun, Forget, Leave, Quiet, Scale, Step, Stop, Undo, from_json, to_json

STEPS: list[Step] = [
    Leave("bench.r"),
    Forget("r", ("bench.r", "bench.r.orders"), 3),
    Scale("worker", 1),
    Stop(volumes=True),
    Stop(("worker", "redis")),
]


@pytest.mark.parametrize("step", [*STEPS, EndRun("worker"), Quiet(("w@1", "w@2"))])
def test_a_step_survives_json(step: Step) -> None:
    assert step == from_json(json.loads(json.dumps(to_json(step))))


def test_what_is_left_is_undone_the_last_first() -> None:
    done: list[Step] = []
    guard = Guard(done.append)
    guard.add(STEPS[0])
    second = guard.add(STEPS[1])
    guard.add(STEPS[2])

    guard.undo(second)
    guard.undo_all()

    assert [STEPS[1], STEPS[2], STEPS[0]] == done


def test_a_step_that_fails_keeps_no_other_from_being_done_and_stays_on_the_list() -> None:
    done: list[Step] = []

    def perform(step: Step) -> None:
        if isinstance(step, Scale):
            raise DevctlError("no engine")
        if isinstance(step, Forget):
            raise ValueError("a bug")
        done.append(step)

    told: list[dict[str, object]] = []
    guard = Guard(perform, told.append)
    for step in STEPS:
        guard.add(step)
    guard.undo_all()

    assert [STEPS[4], STEPS[3], STEPS[0]] == done
    assert ["no engine", "ValueError: a bug"] == [failure.partition("}: ")[2] for failure in guard.failures]
    assert [5, 4, 1] == [one["drop"] for one in told if "drop" in one]


def served(*documents: object, tail: bytes = b"") -> dict[int, Step]:
    lines = b"".join(json.dumps(document).encode() + b"\n" for document in documents) + tail
    left: dict[int, Step] = {}
    guard_process.serve(io.BytesIO(lines), lambda _, steps: left.update(steps))
    return left


def test_the_guard_acts_on_what_is_left_when_its_owner_dies() -> None:
    adds = [{"add": number, "step": to_json(step)} for number, step in enumerate(STEPS)]

    assert {0: STEPS[0], 2: STEPS[2]} == served({"root": "."}, *adds[:3], {"drop": 1})


def test_the_guard_does_nothing_when_its_owner_is_done() -> None:
    assert {} == served({"root": "."}, {"add": 1, "step": to_json(STEPS[0])}, {"done": True})


def test_half_a_line_was_not_begun() -> None:
    half = json.dumps({"add": 2, "step": to_json(STEPS[1])}).encode()

    assert {1: STEPS[0]} == served({"root": "."}, {"add": 1, "step": to_json(STEPS[0])}, tail=half)


def test_the_guard_insists_while_something_is_away_but_not_for_ever() -> None:
    clock, tried, said = FakeClock(), [], []
    back = clock.now() + 10

    def perform(step: Step) -> None:
        tried.append(step)
        if isinstance(step, Leave) and clock.now() < back:
            raise DevctlError("the broker is away")
        if isinstance(step, Scale):
            raise DevctlError("no engine")

    left = guard_process.insist({1: STEPS[0], 2: STEPS[2], 3: STEPS[3]}, perform, clock, said.append, seconds=20)

    assert {2: STEPS[2]} == left
    assert 1 == tried.count(STEPS[3]), "what is done is not done again"
    assert any(line.startswith("ok") and "leave" in line for line in said)


@pytest.mark.parametrize(
    ("ended", "exit_code", "begins"),
    [
        (WaitTimeout("too slow", hint="wait longer"), 3, "too slow"),
        (KeyboardInterrupt(), 130, "interrupted, and some things could not be undone"),
        (ValueError("a bug"), 1, "some things could not be undone"),
        (None, 1, "some things could not be undone"),
    ],
)
def test_what_could_not_be_put_back_does_not_hide_why_it_ended(
    ended: BaseException | None, exit_code: int, begins: str
) -> None:
    found = _unfinished(ended, ["scale: no engine"], Path("logs"))

    assert exit_code == found.exit_code
    assert found.problem.startswith(begins)
    assert "scale: no engine" in found.details


def test_undoing_twice_is_harmless() -> None:
    clock = FakeClock()
    runtime, broker = FakeRuntime(shop(), clock=clock), MemoryBroker()
    runtime.start("redis", "worker")
    broker.add_worker("worker@1", queues=["orders", runs.queue("r")], bodies={})
    broker.publish([Message("t", runs.queue("r"), "1"), Message("t", "orders", "2")])
    undo = Undo(lambda: runtime, lambda: broker, clock, settle_seconds=1.0)

    for step in [Leave(runs.queue("r")), Forget("r", (runs.queue("r"),)), Stop(("worker",))] * 2:
        undo(step)

    assert ["orders"] == broker.workers[0].queues
    assert ["orders"] == [depth.name for depth in broker.queues([]) if depth.waiting]
    assert ["redis"] == [replica.service for replica in runtime.status()]


def test_a_forget_waits_for_what_workers_still_hold() -> None:
    clock, broker = FakeClock(), MemoryBroker()
    broker.publish([Message("t", "bench.r", "1")])
    held = broker.claim(["bench.r"])
    assert held is not None
    begun = clock.now()

    class Ends(FakeClock):
        def sleep(self, seconds: float) -> None:
            clock.sleep(seconds)
            if clock.now() - begun > 2 and broker._claimed["bench.r"]:
                broker.acknowledge(held)

        def now(self) -> float:
            return clock.now()

    Undo(lambda: FakeRuntime(shop()), lambda: broker, Ends())(Forget("r", ("bench.r",)))

    assert 2 < clock.now() - begun < 3


def test_a_forget_does_not_wait_for_ever() -> None:
    clock, broker = FakeClock(), MemoryBroker()
    broker.publish([Message("t", "bench.r", "1")])
    broker.claim(["bench.r"])
    begun = clock.now()

    Undo(lambda: FakeRuntime(shop()), lambda: broker, clock)(Forget("r", ("bench.r",)))

    assert 9 < clock.now() - begun < 12


def test_a_stop_looks_whether_something_comes_up_again() -> None:
    clock, runtime = FakeClock(), FakeRuntime(shop())

    class Late(FakeClock):
        def now(self) -> float:
            return clock.now()

        def sleep(self, seconds: float) -> None:
            clock.sleep(seconds)
            if len([call for call in runtime.calls if call == "stop"]) == 1:
                runtime.start("redis")

    Undo(lambda: runtime, MemoryBroker, Late(), settle_seconds=2.0)(Stop())

    assert ["stop", "start redis", "stop"] == runtime.calls
