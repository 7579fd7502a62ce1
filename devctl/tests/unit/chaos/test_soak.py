"""The soak: what it counts, whom it kills, when it ends, and what it says about memory."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from signal import SIGKILL
from typing import Any
from uuid import uuid4

import pytest
from devctl.tests.unit.chaos.lab import Lab, made
from devctl.tests.unit.chaos.made_up import row, seen

from celeriac.workbench.soak import task_id
from devctl.chaos import events
from devctl.chaos.audit import Audit
from devctl.chaos.curve import Curve
from devctl.chaos.faults.soak import Soaking
from devctl.chaos.field import Field
from devctl.chaos.memory import Memory
from devctl.chaos.observation import Tally
from devctl.chaos.scenario import SoakPlan
from devctl.chaos.supply import BATCH, IN_FLIGHT, Supply
from devctl.errors import DevctlError

FIRST_HALF = 7


class FakeBroker:
    """A stream of effects, an empty queue, and a memory that does what a test wants."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()  # as in Redis: one thread publishes, another one counts and trims
        self.entries: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.added = 0
        self.unacked: dict[bytes, bytes] = {}
        self.letters: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.memory: Callable[[], int] = lambda: 10_000_000

    def add(self, *numbers: int) -> None:
        for number in numbers:
            with self._one_at_a_time:
                self.added += 1
                self.entries.append((b"%d-0" % self.added, {b"n": b"%d" % number}))

    def xread(self, streams: dict[str, bytes], count: int) -> list[Any]:
        ((key, last),) = streams.items()
        page = [one for one in list(self.entries) if int(one[0][:-2]) > int(last[:-2])][:count]
        return [[key.encode(), page]] if page else []

    def xtrim(self, key: str, *, minid: str, approximate: bool) -> None:
        with self._one_at_a_time:
            self.entries = [one for one in self.entries if int(one[0][:-2]) >= int(minid[:-2])]

    def xrange(self, key: str, *, min: str, count: int) -> list[Any]:  # noqa: A002  # redis-py calls it so
        return self.letters if min == "-" else []

    def info(self, section: str) -> dict[str, int]:
        return {"used_memory": self.memory()}

    def lrange(self, *_: object) -> list[bytes]:
        return []

    zrange = lrange

    def hgetall(self, _: str) -> dict[bytes, bytes]:
        return self.unacked


class Soak:
    """A soak in a lab whose tasks are done when they are published."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: SoakPlan, *, deaf: bool = False) -> None:
        self.lab: Lab = made(deaf=deaf)
        self.broker, self.field = FakeBroker(), self.lab.field
        self.bodies = b""
        self.told: list[events.Event] = []
        self.work: Callable[[range], None] = lambda numbers: self.broker.add(*numbers)
        stage: Any = self.field.stage
        stage.broker = lambda: self.broker
        stage.ledger = lambda: self
        self.field.emit = self.told.append
        monkeypatch.setattr(Field, "answers", lambda _: True)
        clock: Any = self.field.clock
        move = clock.sleep

        def sleep(seconds: float) -> None:
            move(seconds)
            time.sleep(0.0002)  # the thread that publishes lives in real time

        clock.sleep = sleep

        def publish(numbers: range) -> None:
            self.work(numbers)
            time.sleep(0.05 if numbers.stop > plan.least_tasks else 0.0)  # beyond that, a few are enough

        self.soaking = Soaking(plan, self.field, FIRST_HALF, publish)

    def get(self, key: str) -> bytes:
        assert key == "chaos:r:bodies"
        return self.bodies

    def play(self) -> Tally:
        self.soaking.play()
        for look in self.field.afterwards:
            look()
        return self.field.tally


def victims(soak: Soak) -> list[str]:
    return [name for name, number in soak.lab.hands.sent if number is SIGKILL and name != "redis-1"]


def test_it_goes_on_until_kills_and_tasks_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=4, tasks=30_000))
    soak.bodies = b"\1\2\1\0\3"
    tally = soak.play()

    assert 30_000 <= tally.accepted == tally.done
    assert (0, 0, 2) == (tally.lost, tally.doubled, tally.repeated)
    assert (4, 2) == (len(victims(soak)), soak.lab.hands.sent.count(("redis-1", SIGKILL)))
    assert 6 == soak.field.fired
    assert soak.field.soak is not None
    assert (4, 2, 7) == (soak.field.soak.kills, soak.field.soak.redis_kills, soak.field.soak.bodies)
    assert all(check.held for check in soak.field.checks)


def test_either_worker_is_hit_and_in_the_second_half_one_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=20, tasks=1_000))
    soak.play()

    assert {"worker-1", "worker-2"} == set(victims(soak)[:10])
    assert {"worker-1"} == set(victims(soak)[10:])


def test_a_kill_waits_for_its_seconds_and_for_its_share_of_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=3, tasks=40_000, every_seconds=5.0))
    done = soak.soaking._audit
    at: list[tuple[float, int]] = []
    kill = Field.kill
    monkeypatch.setattr(
        Field,
        "kill",
        lambda f, *a: (at.append((f.clock.now(), done.done)) if a[0].service == "worker" else None, kill(f, *a))[1],
    )
    begun = soak.field.clock.now()
    soak.play()

    times = [begun, *(moment for moment, _ in at)]
    assert all(later - earlier >= 4.99 for earlier, later in pairwise(times))
    assert all(count >= share for (_, count), share in zip(at, (10_000, 20_000, 30_000), strict=True))


def test_redis_dies_after_every_fortieth_kill_of_a_long_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=120, tasks=100, every_seconds=0.5))
    soak.play()

    assert 3 == soak.lab.hands.sent.count(("redis-1", SIGKILL))


def test_a_task_without_an_effect_is_lost_and_one_with_two_is_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1, tasks=1_000))
    soak.work = lambda numbers: soak.broker.add(*(n for n in numbers if n not in (3, 4)), *[5] * (5 in numbers))
    tally = soak.play()

    assert (tally.accepted - 2, 2, 1) == (tally.done, tally.lost, tally.doubled)
    found = row(seen(tally=tally))
    assert ("broken", "2 lost; 1 doubled") == (found.verdict, found.why)


def test_what_is_claimed_is_waiting_and_what_is_dead_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1, tasks=1_000))
    soak.work = lambda numbers: soak.broker.add(*(n for n in numbers if n not in (3, 4, 5)))
    soak.broker.unacked = {b"tag": b'[{"headers": {"task": "tasks.soak", "id": "%s"}}]' % ident(3)}
    soak.broker.letters = [
        (b"1-0", {b"about": b'{"task_id": "%s", "reason": "poison"}' % ident(4)}),
        (b"2-0", {b"about": b'{"task_id": "%s", "reason": "poison"}' % str(uuid4()).encode()}),
        (b"3-0", {b"about": b'{"task_id": "no id of ours", "reason": "poison"}'}),
    ]
    tally = soak.play()

    assert (1, {"poison": 1}, 1) == (tally.waiting, tally.dead, tally.lost)
    assert "1 valid tasks became dead letters (poison)" in row(seen(tally=tally)).reasons


def test_what_is_done_while_the_soak_is_summed_up_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1, tasks=1_000))
    soak.work = lambda numbers: soak.broker.add(*(n for n in numbers if n != 3))
    soak.soaking.play()
    claimed = {b"tag": b'[{"headers": {"task": "tasks.soak", "id": "%s"}}]' % ident(3)}

    def hgetall(_: str) -> dict[bytes, bytes]:
        soak.broker.add(3)  # at once after this look
        return claimed

    monkeypatch.setattr(soak.broker, "hgetall", hgetall)
    soak.soaking.sum_up()

    assert (soak.field.tally.accepted, 0, 0) == (soak.field.tally.done, soak.field.tally.lost, soak.field.tally.waiting)


def ident(number: int) -> bytes:
    return str(task_id(FIRST_HALF, number)).encode()


def test_the_first_ctrl_c_ends_it_and_what_is_known_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1_000))
    kill = Field.kill
    monkeypatch.setattr(Field, "kill", lambda field, *a: (signal.raise_signal(signal.SIGINT), kill(field, *a))[1])
    before = signal.getsignal(signal.SIGINT)
    tally = soak.play()

    assert soak.field.interrupted
    assert (1, True) == (soak.field.fired, tally.accepted > 0)
    assert before == signal.getsignal(signal.SIGINT)
    found = row(seen(tally=tally, interrupted=True, fired=0, drained_seconds=None))
    assert ("not run", True) == (found.verdict, found.interrupted)


def test_kills_of_which_nobody_dies_do_not_count_and_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1, tasks=100), deaf=True)
    tell = soak.told.append
    soak.field.emit = lambda event: (tell(event), setattr(soak.field, "interrupted", len(soak.told) > 12))[0]
    soak.play()

    assert 0 == soak.field.fired
    assert len(victims(soak)) > 1


def test_a_soak_in_which_nothing_is_done_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=1_000))
    soak.work = lambda _: None
    with pytest.raises(DevctlError, match="nothing was done for 60 s"):
        soak.soaking.play()

    assert len(soak.field.afterwards) == 1, "it is summed up all the same"


def test_it_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=2, tasks=1_000))
    soak.play()

    told = [one for one in soak.told if isinstance(one, events.Soaking)]
    assert {(2, 1_000)} == {(one.of_kills, one.of_tasks) for one in told}
    assert [0, 1, 2] == sorted({one.kills for one in told})
    assert told[0].left_seconds > told[-1].left_seconds >= 0.0


def test_what_could_not_be_removed_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    audit, broker = Audit(), FakeBroker()
    broker.add(*range(7_000))
    monkeypatch.setattr(broker, "xtrim", lambda *_, **__: None)
    for _ in range(3):
        audit.read(broker, "key")  # type: ignore[arg-type]  # a stand-in

    assert (7_000, 0, []) == (audit.done, audit.doubled(7_000), list(audit.missing(7_000)))


def test_what_is_counted_is_removed() -> None:
    audit, broker = Audit(), FakeBroker()
    broker.add(*range(12_000))
    audit.read(broker, "key")  # type: ignore[arg-type]  # a stand-in

    assert (12_000, 1) == (audit.done, len(broker.entries))


def test_an_effect_of_a_task_that_nobody_sent_is_doubled() -> None:
    audit = Audit()
    for number in (0, 1, 1, 9):
        audit.count(number)

    assert (3, 2, 1) == (audit.done, audit.doubled(5), audit.doubled(10))
    assert [2, 3, 4] == list(audit.missing(5))
    assert [2, 3, 4, 5, 6, 7, 8, *range(10, 20_000)] == list(audit.missing(20_000))


def test_no_more_than_so_many_tasks_are_in_flight() -> None:
    sent: list[range] = []
    supply = Supply(sent.append, lambda: 700)
    supply.begin()
    end = time.monotonic() + 5
    while supply.accepted < IN_FLIGHT and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    supply.end()

    assert IN_FLIGHT + 500 == supply.accepted == sent[-1].stop


def test_a_batch_that_is_not_confirmed_is_published_again() -> None:
    sent: list[range] = []

    def publish(numbers: range) -> None:
        sent.append(numbers)
        if len(sent) in (2, 3):
            raise TimeoutError

    supply = Supply(publish, lambda: 0)
    supply.begin()
    end = time.monotonic() + 5
    while len(sent) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    supply.end()

    assert [0, BATCH, BATCH, BATCH, 2 * BATCH] == [one.start for one in sent[:5]]
    assert (2, supply.sent) == (supply.refused, supply.accepted)


def curve(*values: int, settled: int = 0) -> Curve:
    return Curve("Redis", 1.0, values, settled)


@pytest.mark.parametrize(("last", "flat"), [(100, True), (110, True), (111, False), (50, True)])
def test_flat_is_at_most_a_tenth_above_the_second_tenth(last: int, flat: bool) -> None:
    assert flat is curve(*[500] * 10, *[100] * 80, *[last] * 10).flat


def test_what_grows_while_memory_settles_does_not_count() -> None:
    assert curve(*range(100), *[100] * 100, settled=100).flat
    assert not curve(*range(100), *[100] * 100).flat


def test_a_leak_of_a_few_bytes_a_task_is_found_in_three_million() -> None:
    assert not curve(*(20_000_000 + 1_880 * second for second in range(1_600)), settled=30).flat


def test_too_few_values_say_nothing() -> None:
    assert curve(*[1] * 19).flat is None
    assert curve(*[1] * 25, settled=6).first is None
    assert curve(*[1] * 20).flat


def test_the_median_of_a_tenth_is_its_middle_whatever_a_dying_worker_leaves_out() -> None:
    dips = [100 if n % 3 else 50 for n in range(200)]
    found = curve(*dips)

    assert found.flat
    assert found.first is not None
    assert (50, 100, 100) == (found.first.lowest, found.first.median, found.first.highest)


def test_a_curve_has_no_more_points_than_wanted() -> None:
    assert [1, 5] == curve(1, 1, 1, 5, 5).points(2)
    assert [3, 4] == curve(3, 4).points(10)
    assert [] == curve().points(10)


def test_memory_that_is_not_flat_breaks_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(monkeypatch, SoakPlan(kills=20, tasks=100))
    soak.broker.memory = lambda: 1_000_000 * len(soak.told)
    soak.play()

    assert [False] == [one.held for one in soak.field.checks if one.what == "the memory of Redis is flat"]


def test_the_curve_of_the_spared_worker_is_its_last_life() -> None:
    memory = Memory(0.0)
    memory._workers = [{"w-2": (1, 5)}, {"w-2": (2, 6)}, {"w-1": (3, 9)}, {"w-1": (3, 9), "w-2": (2, 7)}]
    memory._looked = 4.0
    together, spared, _ = memory.curves("w-2")

    assert ((5, 6, 9, 16), (6, 7)) == (together.values, spared.values)
    assert 1.0 == spared.seconds
