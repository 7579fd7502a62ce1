"""The guard over a real Redis and task threads of our own making; the pool with runners of our own making."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import impatient
from celeriac.tests.life.world import claim, committer_of, done, effects, holding, message, overdue, push, tag_of
from celery.worker import state

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.lease.leases import Lease
from celeriac.lease.restore import restore
from celeriac.lease.starts import PROVEN
from celeriac.outcome import committer as committer_module
from celeriac.outcome.commit import Commit
from celeriac.outcome.committer import Committer
from celeriac.run import guard as module
from celeriac.run.exclusive import Exclusive, ExclusiveRun
from celeriac.run.guard import Guard
from celeriac.run.pool import TaskPool
from celeriac.run.threads import Job, Running, TaskThread

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 5.0


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Pool:
    """Task threads, and what the guard asks of them."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = [TaskThread(number) for number in range(threads)]
        self.unstarted = 0
        self.stopping = False
        self.interrupted: list[TaskThread] = []
        self.given_back = 0
        self.commit_all: Callable[[float], Any] = lambda seconds: True
        self.exclusive = Exclusive(self)

    def interrupt(self, thread: TaskThread, running: Running) -> bool:
        self.interrupted.append(thread)
        return True

    def give_back(self, why: str = "") -> None:
        self.given_back += 1


def guard_of(pool: Any, committer: Committer, **changes: Any) -> Guard:
    given: dict[str, Any] = {"restore": lambda: 0, "show": lambda running: None, "restore_seconds": 5.0}
    return Guard(pool, committer, committer.leases, **given | changes)


def body(tag: str, since: float, **limits: float) -> Running:
    running = Running(SimpleNamespace(name="tasks.x"), tag, {"id": "a"}, **limits)
    running.since = since
    return running


# Leases


def test_a_lease_is_renewed_four_times_in_its_life_while_the_body_runs(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    guard = guard_of(Pool(), committer)
    fences = []
    for now in (100.0, 110.0, 115.0, 129.0, 130.0):
        guard._look(now)
        fences.append(int(committer.leases.held[tag].fence))
    assert [False, True, False, True] == [after > before for before, after in pairwise(fences)]
    assert fences[-1] == client.zscore(keys.LEASES, tag)


def test_messages_of_dead_workers_are_given_back_at_their_time(client: redis.Redis) -> None:
    asked = []
    guard = guard_of(Pool(), committer_of(client), restore=lambda: asked.append(1))
    for now in (100.0, 104.9, 105.0, 109.9, 110.0):
        guard._look(now)
    assert 3 == len(asked)


def test_what_is_finished_is_committed_by_the_guard_where_nobody_else_does(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "FLUSH_SECONDS", math.inf)
    committer, (tag,) = holding(client, message())
    committer.submit(done(tag))
    guard = guard_of(Pool(), committer)
    guard._look(100.0)
    guard._look(100.1)
    assert committer.everything_committed
    assert 1 == effects(client)


def test_it_lives_on_while_redis_is_away_and_renews_when_it_is_back(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, "emit", lambda event, **_: told.append(event))
    monkeypatch.setattr(module, "TICK_SECONDS", 0.005)
    near, (tag,) = holding(client, message())
    committer = committer_of(impatient(line.port))
    committer.leases.held.update(near.leases.held)
    before = int(committer.leases.held[tag].fence)
    line.requests = lambda piece: "cut"
    guard = guard_of(Pool(), committer)
    guard.start()
    eventually(lambda: told)
    line.requests = lambda piece: piece
    try:
        eventually(lambda: client.zscore(keys.LEASES, tag) > before, 1.0)
    finally:
        guard._ended.set()
    assert ["guard.broker_away"] == told


def test_an_error_of_ours_does_not_end_it(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "emit", lambda *_, **__: None)
    monkeypatch.setattr(module, "sleep", lambda seconds: None)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.005)
    asked = []

    def restore() -> None:
        asked.append(1)
        raise ZeroDivisionError

    guard = guard_of(Pool(), committer_of(client), restore=restore, restore_seconds=0.0)
    guard.start()
    eventually(lambda: len(asked) > 1)
    guard._ended.set()


# Asleep


def looks(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its looks from here on."""
    seen: list[float] = []
    look = guard._look
    monkeypatch.setattr(module, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(guard, "_look", lambda now: (look(now), seen.append(now)))
    return seen


def test_without_a_message_it_sleeps_until_redis_is_to_be_read(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[float] = []
    guard = guard_of(
        Pool(),
        committer_of(client),
        restore=lambda: restored.append(time.monotonic()),
        restore_seconds=0.3,
        revocations=lambda now: now + 0.7,
    )
    seen = looks(guard, monkeypatch)
    guard.start()
    eventually(lambda: 4 <= len(restored))
    guard.stop()
    assert len(seen) < 12  # it would be 180
    assert all(0.29 < later - sooner < 2 for sooner, later in pairwise(restored))


def busy(pool: Pool, committer: Committer) -> None:
    pool.threads[0].busy = True


def unstarted(pool: Pool, committer: Committer) -> None:
    pool.unstarted = 1


def held(pool: Pool, committer: Committer) -> None:
    committer.leases.held["tag"] = Lease("1", "orders")


def alone(pool: Pool, committer: Committer) -> None:
    pool.exclusive.current = ExclusiveRun(pool.threads[0], "tag", 60.0)


def being_sent(pool: Pool, committer: Committer) -> None:
    committer.connection.lock._lock = SimpleNamespace(acquire=lambda blocking: False)  # type: ignore[assignment]  # another thread has it


def finished(pool: Pool, committer: Committer) -> None:
    committer._done.append(done("tag"))


@pytest.mark.parametrize("work", [busy, unstarted, held, alone, being_sent, finished])
def test_where_there_is_something_to_watch_over_it_does_not_sleep(client: redis.Redis, work: Any) -> None:
    pool, committer = Pool(), committer_of(client)
    guard = guard_of(pool, committer)
    assert guard._has_nothing()
    work(pool, committer)
    assert not guard._has_nothing()


def test_a_message_wakes_it(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, committer = Pool(), committer_of(client)
    guard = guard_of(pool, committer, restore_seconds=60.0)
    seen = looks(guard, monkeypatch)
    guard.start()
    eventually(lambda: guard.asleep and seen)
    pool.threads[0].running = body("tag", time.monotonic() - 10, soft=1.0)
    held(pool, committer)
    guard.wake()
    eventually(lambda: pool.interrupted)
    guard.stop()


def test_a_message_that_was_over_before_the_next_look_keeps_it_awake_once(client: redis.Redis) -> None:
    guard = guard_of(Pool(), committer_of(client), restore_seconds=0.0)
    guard.wake()
    assert [False, True] == [guard._rest(), guard._rest()]


def test_a_stop_wakes_it(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = guard_of(Pool(), committer_of(client), restore_seconds=60.0)
    seen = looks(guard, monkeypatch)
    others = set(threading.enumerate())
    guard.start()
    (thread,) = set(threading.enumerate()) - others
    eventually(lambda: guard.asleep and seen)
    guard.stop()
    eventually(lambda: not thread.is_alive())


def eventually(holds: Callable[[], Any], seconds: float | None = None) -> None:
    deadline = time.monotonic() + (seconds or PATIENCE_SECONDS)
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


# Limits


def test_a_soft_limit_interrupts_once(client: redis.Redis) -> None:
    pool = Pool(2)
    pool.threads[1].running = body("tag", 100.0, soft=2.0)
    guard = guard_of(pool, committer_of(client))
    counts = []
    for now in (101.9, 102.1, 102.2):
        guard._look(now)
        counts.append(len(pool.interrupted))
    assert ([0, 1, 1], [pool.threads[1]]) == (counts, pool.interrupted)


def test_a_hard_limit_ends_the_process_and_loses_nothing(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    exits: list[int] = []
    monkeypatch.setattr(module, "emit", lambda *_, **__: None)
    monkeypatch.setattr(module.os, "_exit", exits.append)
    committer, (finished, running, waiting, beside) = holding(client, *[message(name) for name in "abcd"])
    pool = Pool(2)
    pool.threads[0].running = body(running, 100.0, hard=3.0)
    pool.threads[1].running = body(beside, 100.0, hard=30.0)
    guard = guard_of(pool, committer)
    guard._look(102.9)
    assert [] == exits
    committer.submit(done(finished, "a"))
    guard._look(103.1)
    assert [module.EXIT_TIME_LIMIT] == exits
    assert pool.stopping
    assert 1 == effects(client, "a")
    claimed = claim(client)
    assert {running, waiting, beside} == {tag_of(raw) for raw in claimed.raws}
    assert {running: PROVEN} == claimed.starts  # its next start counts: it must not hang for ever


def test_the_time_in_which_somebody_debugs_counts_for_no_limit(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits: list[int] = []
    looks = False
    monkeypatch.setattr(module, "emit", lambda *_, **__: None)
    monkeypatch.setattr(module.os, "_exit", exits.append)
    monkeypatch.setattr(module.debugger, "somebody_looks", lambda: looks)
    pool = Pool(3)
    pool.threads[0].running = body("soft", 100.0, soft=2.0)
    pool.threads[1].running = body("hard", 100.0, hard=3.0)
    pool.threads[2].running = body("none", 100.0)
    guard = guard_of(pool, committer_of(client))
    guard._look(101.0)
    looks = True
    for now in (111.0, 121.0):
        guard._look(now)
    looks = False
    counts = []
    for now in (121.9, 122.1, 122.9, 123.1):
        guard._look(now)
        counts.append((len(pool.interrupted), len(exits)))
    assert [(0, 0), (1, 0), (1, 0), (1, 1)] == counts


def test_a_body_that_began_while_somebody_debugs_gets_its_whole_time(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.debugger, "somebody_looks", lambda: True)
    guard = guard_of(pool := Pool(), committer_of(client))
    guard._look(100.0)
    running = pool.threads[0].running = body("tag", 109.0, hard=3.0)
    guard._look(110.0)
    assert 4.0 == running.hard


def test_a_debugger_that_stops_all_threads_leaves_the_guard_alone(client: redis.Redis) -> None:
    guard = guard_of(Pool(), committer_of(client))
    others = set(threading.enumerate())
    guard.start()
    (thread,) = set(threading.enumerate()) - others
    guard.stop()
    thread.join(10)
    assert getattr(thread, "pydev_do_not_trace", False), "debugpy asks for this"


def test_a_body_without_a_limit_runs_on(client: redis.Redis) -> None:
    pool = Pool()
    pool.threads[0].running = body("tag", 0.0)
    guard_of(pool, committer_of(client))._look(1e9)
    assert [] == pool.interrupted


def test_a_body_that_runs_long_is_shown_once_while_it_runs(client: redis.Redis) -> None:
    pool, shown = Pool(), []
    running = pool.threads[0].running = body("tag", 100.0)
    guard = guard_of(pool, committer_of(client), show=shown.append)
    for now in (100.1, 100.3, 100.4):
        guard._look(now)
    state.active_requests.discard(running)
    state.requests.pop(running.id, None)
    assert [running] == shown


# Progress


def test_the_newest_word_is_sent_five_times_a_second_at_most(client: redis.Redis) -> None:
    pool, sent = Pool(), []
    running = pool.threads[0].running = body("tag", time.monotonic())
    running.commit = Commit("tag", "a")
    guard = guard_of(pool, committer_of(client), tell=lambda running, said: sent.append(said) or True)
    now = time.monotonic()
    guard._look(now)
    for after, share in ((0.0, 0.1), (0.1, 0.2), (0.15, 0.3), (0.25, 0.4)):
        running.commit.said = (share, "")
        guard._look(now + after)
    guard._look(now + 0.9)
    assert [(0.1, ""), (0.4, "")] == sent


def test_a_word_that_redis_did_not_get_is_sent_again(client: redis.Redis) -> None:
    pool, answers = Pool(), [False, True]
    running = pool.threads[0].running = body("tag", time.monotonic())
    running.commit = Commit("tag", "a")
    running.commit.said = (0.5, "")
    guard = guard_of(pool, committer_of(client), tell=lambda running, said: answers.pop(0))
    now = time.monotonic()
    for after in (0.0, 0.1, 0.5):
        guard._look(now + after)
    assert [] == answers


# Never hoard


@pytest.mark.parametrize(
    ("ran", "unstarted", "expected"),
    [([0.2, 0.3], 1, 1), ([0.2, 0.05], 1, 0), ([0.2, None], 1, 0), ([0.2, 0.3], 0, 0)],
    ids=["all run long", "one is short", "one is idle", "nothing waits"],
)
def test_what_waits_goes_back_when_every_thread_runs_something_long(
    client: redis.Redis, ran: list[float | None], unstarted: int, expected: int
) -> None:
    pool = Pool(len(ran))
    pool.unstarted = unstarted
    for thread, seconds in zip(pool.threads, ran, strict=True):
        thread.running = None if seconds is None else body("tag", 100.0 - seconds)
    guard_of(pool, committer_of(client))._look(100.0)
    assert expected == pool.given_back
    assert [True] * expected == [thread.seconds >= 0.2 for thread in pool.threads][:expected]


# The end


def test_at_a_stop_what_is_finished_is_committed_and_the_rest_goes_back(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "FLUSH_SECONDS", math.inf)
    committer, (finished, running, waiting) = holding(client, *[message(name) for name in "abc"])
    committer.submit(done(finished, "a"))
    assert committer.shut_down(1.0)
    assert ({}, 1) == (committer.leases.held, effects(client, "a"))
    assert not client.exists(keys.UNACKED, keys.LEASES)
    claimed = claim(client)
    assert {running, waiting} == {tag_of(raw) for raw in claimed.raws}
    assert {} == claimed.starts  # a stop is no death


def test_a_stop_takes_back_a_start_that_was_counted(client: redis.Redis) -> None:
    committer, (running, waiting) = holding(client, message("a"), message("b"))
    client.hset(keys.STARTS, mapping={running: 2, waiting: 2})
    committer.leases.started(running)
    committer.shut_down(1.0)
    assert {running: 2, waiting: 2} == claim(client).starts


def test_when_its_time_alone_is_over_the_others_start_and_its_death_proves_nothing(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    client.hset(keys.STARTS, tag, 3)
    committer.leases.started(tag, by=PROVEN + 1)
    pool: Any = Pool()
    alone = pool.exclusive.current = ExclusiveRun(pool.threads[0], tag, 5.0)
    guard = guard_of(pool, committer)
    guard._look(1e9)
    assert alone is pool.exclusive.current  # it has not begun
    alone.until = 105.0
    guard._look(104.9)
    assert alone is pool.exclusive.current
    guard._look(105.1)
    assert pool.exclusive.current is None
    assert b"4" == client.hget(keys.STARTS, tag)


def test_a_stop_says_when_not_all_is_committed_and_then_it_comes_back(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "emit", lambda *_, **__: None)
    near, (tag,) = holding(client, message())
    committer = committer_of(impatient(line.port))
    committer.leases.held.update(near.leases.held)
    line.requests = lambda piece: "cut"
    committer.submit(done(tag))
    assert not committer.shut_down(0.1)
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)


# Threads


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    pool = TaskPool(1)
    released: list[str] = []
    pool.release = lambda tags, started=False, why="": released.extend((tag, started) for tag in tags)
    pool.released = released
    yield pool
    pool.stopping = True


def job(tag: str, runner: Any) -> Job:
    return Job(runner, {}, b"", tag, "orders")


def test_a_runner_that_fails_does_not_take_its_thread_along_and_its_message_goes_back(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.run.pool.emit", lambda *_, **__: None)
    ran = []

    def broken(job: Job, thread: TaskThread) -> bool:
        raise redis.ConnectionError("away")

    def good(job: Job, thread: TaskThread) -> bool:
        ran.append(job.tag)
        return True

    pool.on_start()
    pool.take([job("a", broken), job("b", good)])
    pool.take([job("c", good)])
    eventually(lambda: ran == ["b", "c"])
    assert [("a", True)] == pool.released


def test_what_a_thread_has_not_started_can_be_taken_back(pool: Any) -> None:
    begun, go_on, ran = threading.Event(), threading.Event(), []

    def slow(job: Job, thread: TaskThread) -> bool:
        ran.append(job.tag)
        begun.set()
        return go_on.wait(5)

    pool.on_start()
    pool.take([job(tag, slow) for tag in "abc"])
    assert begun.wait(5)
    pool.take([job("d", slow)])
    assert 3 == pool.unstarted
    assert ["b", "c", "d"] == sorted(pool.give_back())
    assert 0 == pool.unstarted
    go_on.set()
    eventually(lambda: not pool.threads[0].busy)
    assert ["a"] == ran


def test_at_a_stop_nothing_more_is_started(pool: Any) -> None:
    ran: list[str] = []

    def runner(job: Job, thread: TaskThread) -> bool:
        ran.append(job.tag)
        return True

    pool.stopping = True
    pool.on_start()
    pool.take([job("a", runner)])
    eventually(lambda: pool.released)
    assert ([], [("a", False)]) == (ran, pool.released)


def test_what_is_given_back_is_what_redis_gets_back(client: redis.Redis, pool: Any) -> None:
    raws = [message(str(n)) for n in range(5)]
    push(client, *raws)
    claimed = claim(client)
    committer = committer_of(client)
    committer.leases.held.update({tag_of(raw): Lease(claimed.fence, "orders") for raw in raws})
    pool.release = committer.leases.release
    begun, go_on = threading.Event(), threading.Event()

    def slow(job: Job, thread: TaskThread) -> bool:
        begun.set()
        return go_on.wait(5)

    pool.on_start()
    pool.take([job(tag_of(raw), slow) for raw in raws])
    assert begun.wait(5)
    pool.give_back()
    go_on.set()
    assert raws[1:] == claim(client).raws
