"""How much a worker claims in advance, and when."""

from types import SimpleNamespace
from typing import Any

import pytest
from celeriac.tests.life.world import message
from celery.worker import state

from celeriac.claim.claims import BATCH, Batch
from celeriac.claim.transport import Channel
from celeriac.run import intake as intaking
from celeriac.run.intake import AHEAD_SECONDS, Intake


def intake(*, seconds: float, threads: int = 1, unstarted: int = 0, asked: int = 0, brought: int = 0) -> Intake:
    """Its threads take so many seconds for a message."""
    made = Intake.__new__(Intake)
    made.revocations = SimpleNamespace(current=True)  # type: ignore[assignment]  # a stand-in
    made.channel = SimpleNamespace(qos=SimpleNamespace(prefetch_count=0))
    made.claims = SimpleNamespace(asked=asked, brought=brought, state="idle")  # type: ignore[assignment]  # the same
    made.leases = SimpleNamespace(held={})  # type: ignore[assignment]  # the same
    made.delivery = SimpleNamespace(delivered={})  # type: ignore[assignment]  # the same
    pool: Any = SimpleNamespace(stopping=False, seconds=seconds, limit=threads, unstarted=unstarted, idle=threads)
    made.pool = pool
    return made


def test_20_ms_of_work_are_claimed_in_advance_wherever_they_are() -> None:
    seconds = AHEAD_SECONDS / 50
    assert [50, 40, 30, 20] == [
        intake(seconds=seconds).room(),
        intake(seconds=seconds, unstarted=10).room(),
        intake(seconds=seconds, unstarted=10, asked=10).room(),
        intake(seconds=seconds, unstarted=10, asked=10, brought=10).room(),
    ]
    assert [100, 3] == [intake(seconds=seconds, threads=2).room(), intake(seconds=1.0, threads=3).room()]


def test_who_finds_no_room_leaves_word_and_who_finds_some_does_not() -> None:
    """Else nobody wakes the consumer: it would wait for its timer, up to a second, with a full queue."""
    made: Any = intake(seconds=AHEAD_SECONDS / 50, unstarted=50)
    assert (0, True) == (made.room(), made.pool.hungry)
    made.pool.unstarted = 0
    assert (50, False) == (made.room(), made.pool.hungry)


def test_a_task_thread_that_ends_its_work_while_the_consumer_looks_for_room_rings() -> None:
    seen = []

    class Pool(SimpleNamespace):
        @property
        def unstarted(self) -> int:
            seen.append(self.hungry)
            return 1_000

    made = intake(seconds=1.0)
    made.pool = Pool(stopping=False, seconds=1.0, limit=1, idle=0, hungry=False)  # type: ignore[assignment]  # a stand-in
    assert made.room() <= 0
    assert [True] == seen


@pytest.mark.parametrize(("how", "code"), [("should_stop", 0), ("should_terminate", True)])
def test_a_worker_of_celerys_pools_that_is_told_to_stop_claims_nothing(
    how: str, code: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its stop gives back, it would claim again."""
    made = intake(seconds=1.0)
    made.pool, made.celery_pool = None, SimpleNamespace(processes=4)  # type: ignore[assignment]  # a stand-in
    assert 4 == made.room()
    monkeypatch.setattr(state, how, code)
    assert 0 == made.room()


def test_the_guard_wakes_before_a_message_runs_and_after_it_is_held() -> None:
    made, seen = intake(seconds=1.0), []
    made.guard = SimpleNamespace(wake=lambda: seen.append(("awake", len(made.leases.held))))  # type: ignore[assignment]  # a stand-in
    made.pool.take = lambda jobs: seen.append(("runs", len(jobs)))  # type: ignore[union-attr, method-assign]  # the same
    made.runners = {}
    made.receive(Batch("1", [("orders", message())], {}, [], {}))
    assert [("awake", 1), ("runs", 1)] == seen


@pytest.mark.parametrize(("connection", "seen"), [("waiting", ["taken", "rest"]), ("claiming", ["taken"])])
def test_a_task_thread_runs_at_once_if_the_consumer_has_nothing_more_to_do(
    connection: str, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads of Python do not run at the same time: else it would wait for the end of the consumer's turn."""
    made, done = intake(seconds=1.0), list[str]()
    made.claims.state = connection
    made.guard = SimpleNamespace(wake=lambda: None)  # type: ignore[assignment]  # a stand-in
    made.pool.take = lambda jobs: done.append("taken")  # type: ignore[union-attr, method-assign]  # the same
    made.runners = {}
    monkeypatch.setattr(intaking, "sleep", lambda seconds: done.append("rest"))
    made.receive(Batch("1", [("orders", message())], {}, [], {}))
    assert seen == done


@pytest.mark.parametrize(("asleep", "told", "woken"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_a_revocation_by_remote_control_wakes_the_guard(asleep: bool, told: bool, woken: int) -> None:
    made, seen = intake(seconds=1.0), []
    made.guard = SimpleNamespace(asleep=asleep, wake=lambda: seen.append(1))  # type: ignore[assignment]  # a stand-in
    made.revocations = SimpleNamespace(pending=False, told=told)  # type: ignore[assignment]  # the same
    made.delivery = SimpleNamespace(pump=lambda: None)  # type: ignore[assignment]  # the same
    made.pump()
    assert woken == len(seen)


@pytest.mark.parametrize("there", [1, BATCH])
def test_the_next_claim_is_sent_before_a_batch_is_handed_out_and_knows_of_it(there: int) -> None:
    seen: list[tuple[str, int]] = []
    batch = Batch("1", [("orders", b"")] * there, {}, [], {})
    claims = SimpleNamespace(state="idle", brought=0, read=lambda client, connection: batch)
    channel: Any = Channel.__new__(Channel)
    channel.intake = SimpleNamespace(claims=claims, receive=lambda batch: seen.append(("handed out", claims.brought)))
    channel.client = SimpleNamespace(connection=None)
    channel._queue_cycle = SimpleNamespace(rotate=lambda queue: None)
    channel._brpop_start = lambda: seen.append(("claims", claims.brought))
    assert channel._brpop_read()
    assert [("claims", there), ("handed out", 0)] == seen
