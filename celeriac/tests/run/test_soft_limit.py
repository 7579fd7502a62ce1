"""Soft limits that come at any moment, most of them around the end of a body."""

import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import holding, message, tag_of
from celeriac.tests.run.test_runner import Intake
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.broker import keys
from celeriac.message.reading import loads
from celeriac.run import pool as pools
from celeriac.run.body import interruptible
from celeriac.run.guard import Guard
from celeriac.run.pool import TaskPool
from celeriac.run.runner import Runner, runner_of
from celeriac.run.threads import Job
from celeriac.soft_limit import HERE, Window, limited

ROUNDS = 3_000
MESSAGES = 1_000


class Limits(threading.Thread):
    """Interrupts whatever runs, again and again, at random moments."""

    def __init__(self, interrupt: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.interrupt, self.ended = interrupt, False
        self.random = random.Random(5)
        self.start()

    def run(self) -> None:
        while not self.ended:
            self.interrupt()
            sum(n for n in range(self.random.randrange(50)))

    def end(self) -> None:
        self.ended = True
        self.join()


@pytest.fixture
def window() -> Window:
    window = Window()
    window.thread_id = threading.get_ident()
    return window


@pytest.fixture(autouse=True)
def _hasty() -> Iterator[None]:
    """Threads take turns after a few lines."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def short() -> int:
    return sum(n for n in range(random.randrange(400)))


def uneven() -> None:
    """One of fifty takes its time, so that some are met for sure."""
    until = time.monotonic() + (random.random() < 0.02) * 0.01
    while time.monotonic() < until:
        short()
    short()


def test_a_limit_meets_the_body_that_it_was_meant_for_and_nothing_else(window: Window) -> None:
    met, meant = set(), set()
    now: list[Any] = [None]

    def interrupt() -> None:
        running = now[0]
        if window.interrupt(running):
            meant.add(running)

    limits = Limits(interrupt)
    try:
        for number in range(1, ROUNDS):
            now[0] = number
            try:
                window.call(number, uneven)
            except SoftTimeLimitExceeded:
                met.add(number)
            short()
    finally:
        limits.end()
    assert met
    assert met <= meant


def test_what_must_not_be_left_half_done_is_not_interrupted(window: Window) -> None:
    """The lock and the two numbers are what our committer has: a lock, and a state that must fit."""
    lock, state, met = threading.RLock(), [0, 0], 0

    def careful() -> None:
        for _ in range(20):
            outermost = window.hold_off()
            try:
                with lock:
                    state[0] += 1
                    short()
                    state[1] += 1
            finally:
                if outermost:
                    window.let_on()

    now: list[Any] = [None]
    limits = Limits(lambda: window.interrupt(now[0]))
    try:
        for number in range(1, ROUNDS // 10):
            now[0] = number
            try:
                window.call(number, careful)
            except SoftTimeLimitExceeded:
                met += 1
            assert state[0] == state[1]
    finally:
        limits.end()
    assert met
    free: list[bool] = []
    other = threading.Thread(target=lambda: free.append(lock.acquire(timeout=1)))
    other.start()
    other.join()
    assert [True] == free


def test_one_that_came_while_it_was_held_off_arrives_afterwards(window: Window) -> None:
    seen: list[str] = []

    def body() -> None:
        window.hold_off()
        assert not window.hold_off()
        assert window.interrupt("a")
        seen.append("held off")
        window.let_on()
        seen.append("never")

    with pytest.raises(SoftTimeLimitExceeded):
        window.call("a", body)
    assert ["held off"] == seen
    assert 3 == window.call("b", lambda: 3)


@pytest.mark.parametrize("running", [None, "b"], ids=["nobody", "another one"])
def test_nobody_else_is_interrupted(window: Window, running: Any) -> None:
    assert 3 == window.call("a", lambda: 3 if not window.interrupt(running) else 4)
    assert not window.interrupt("a")


def test_a_body_is_interrupted_once_and_may_clean_up(window: Window) -> None:
    def body() -> str:
        try:
            assert window.interrupt("a")
            for _ in range(1_000):
                sum(n for n in range(100))
        except SoftTimeLimitExceeded:
            assert not window.interrupt("a")
            return "cleaned up"
        return "never"

    assert "cleaned up" == window.call("a", body)


def test_a_body_inside_a_body_is_part_of_it_and_without_a_limit_nothing_is_in_between(window: Window) -> None:
    inner = interruptible(lambda: HERE.running)
    assert inner() is None
    HERE.window, HERE.running = window, "a"
    try:
        assert limited(lambda: (window._running, inner())) == ("a", None)
    finally:
        HERE.window = None


@pytest.mark.parametrize("where", ["at the end", "held off"])
def test_one_that_is_under_way_arrives_before_the_window_is_closed(window: Window, where: str) -> None:
    """It is asked for while the thread waits for the lock, so that no line of Python is between."""
    reached = threading.Event()

    def guard() -> None:
        with window._lock:
            reached.set()
            time.sleep(0.05)
            window._running = None
            window._ask_for(SoftTimeLimitExceeded)

    def body() -> None:
        other.start()
        reached.wait()
        if where == "held off":
            window.hold_off()

    other = threading.Thread(target=guard)
    with suppress(SoftTimeLimitExceeded):
        window.call("a", body)
    other.join()
    assert not window._held_off
    assert 3 == window.call("b", lambda: sum([1, 2]))


# In a runner


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.integration
@pytest.mark.parametrize("way", ["body", "tracer"])
def test_late_limits_lose_no_message_and_end_no_thread(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    failed: list[str] = []
    monkeypatch.setattr(pools, "emit", lambda event, **_: failed.append(event))
    raws = [message(f"{number}") for number in range(MESSAGES)]
    committer, tags = holding(client, *[]), []
    outcomes: dict[str, str] = {}
    app = Celery("x", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_store_errors_even_if_ignored = False

    class Told(app.Task):  # type: ignore[misc,name-defined]
        def on_failure(self, exc: Any, task_id: str, *_: Any) -> None:
            outcomes[task_id] = type(exc).__name__

    def body() -> None:
        uneven()

    class Hooked(Told):
        def after_return(self, status: str, *_: Any) -> None:
            """So that it goes through the tracer."""

    base = Told if way == "body" else Hooked
    task: Any = app.task(
        name="tasks.x", shared=False, lazy=False, acks_late=True, base=base, soft_time_limit=60, ignore_result=True
    )(body)
    pool = TaskPool(1, app=app)
    pool.obey = lambda error: None
    committer, _ = holding(client)
    for start in range(0, MESSAGES, 100):
        more, got = holding(client, *raws[start : start + 100])
        committer.leases.held.update(more.leases.held)
        tags += got
    consumer = SimpleNamespace(hostname="w", task_buckets=defaultdict(lambda: None), event_dispatcher=None)
    task.run = interruptible(task.run)
    found = runner_of(task, app, consumer, Intake(committer, pool))  # type: ignore[arg-type]  # a stand-in
    assert isinstance(found, Runner)
    task.__trace__ = __import__("celery.app.trace", fromlist=["x"]).build_tracer(task.name, task, app=app)
    pool.release = committer.leases.release
    pool.on_start()
    [thread] = pool.threads
    first = thread.python_thread
    met = 0

    def interrupt() -> None:
        nonlocal met
        met += bool(thread.running and pool.interrupt(thread, thread.running))

    limits = Limits(interrupt)
    try:
        pool.take([Job(found.run, loads(raw), raw, tag_of(raw), "orders") for raw in raws])
        deadline = time.monotonic() + 60
        while thread.taken < MESSAGES or thread.busy:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        limits.end()
        pool.stopping = True
    assert committer.commit_all(5)
    assert met
    assert {"SoftTimeLimitExceeded"} == set(outcomes.values())
    assert len(outcomes) <= met
    assert [] == failed
    assert first is thread.python_thread
    assert first is not None
    assert first.is_alive()
    assert ({}, 0, 0) == (committer.leases.held, client.hlen(keys.UNACKED), client.llen("orders"))
    assert MESSAGES == committer.counters.committed


@pytest.mark.integration
def test_a_limit_leaves_the_connection_of_the_committer_as_it_was(client: redis.Redis, window: Window) -> None:
    """A body waits for what it sent: it reads and writes on that connection."""
    committer, (tag,) = holding(client, message())
    now: list[Any] = [None]
    met = 0

    def body() -> None:
        for _ in range(5):
            assert committer.leases.renew()

    limits = Limits(lambda: window.interrupt(now[0]))
    try:
        for number in range(1, 200):
            now[0] = HERE.running = number
            HERE.window = window
            try:
                limited(body)
            except SoftTimeLimitExceeded:
                met += 1
            HERE.window = None
            assert committer._lock._depth == 0
    finally:
        HERE.window = None
        limits.end()
    assert met
    assert committer.leases.renew()
    assert int(committer.leases.held[tag].fence) == client.zscore(keys.LEASES, tag)
    done_by: list[bool] = []
    other = threading.Thread(target=lambda: done_by.append(committer.leases.renew()))
    other.start()
    other.join(5)
    assert [True] == done_by


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_replaced_and_what_it_held_goes_back(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr("celeriac.run.guard.emit", lambda event, **fields: told.append((event, fields)))
    raws = [message(name) for name in "abc"]
    committer, _ = holding(client, *raws)
    pool = TaskPool(1)
    pool.release, ran = committer.leases.release, []

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    def fails(job: Job, thread: Any) -> bool:
        raise KeyError

    def good(job: Job, thread: Any) -> bool:
        ran.append(job.tag)
        return True

    monkeypatch.setattr(pools, "emit", broken)
    jobs = [Job(one, {}, b"", tag_of(raw), "orders") for one, raw in zip((good, fails, good), raws, strict=True)]
    pool.on_start()
    pool.take(jobs)
    [thread] = pool.threads
    assert thread.python_thread is not None
    thread.python_thread.join(5)
    guard = Guard(pool, committer, committer.leases, restore=lambda: 0, show=lambda running: None, restore_seconds=5.0)
    guard._look(100.0)
    assert [("thread.died", 2)] == [(event, fields["messages"]) for event, fields in told]
    assert 2 == client.llen("orders")
    assert 0 == pool.unstarted
    pool.take([jobs[0]])
    deadline = time.monotonic() + 5
    while len(ran) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pool.stopping = True
