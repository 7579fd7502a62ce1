"""The runner of a task, alone: a message that came back, and how a body ends."""

import functools
import gc
import math
import weakref
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import claim, holding, message, overdue, tag_of
from celery import Celery, current_task
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject, WorkerShutdown

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.lease.leases import Lease
from celeriac.lease.restore import restore
from celeriac.lease.starts import Starts
from celeriac.message.reading import loads
from celeriac.outcome import committer
from celeriac.outcome.commit import OPEN, Commit
from celeriac.run.pool import TaskPool
from celeriac.run.refusals import Refusals
from celeriac.run.runner import Request, Runner, bare, celerys, runner_of
from celeriac.run.threads import Job, TaskThread

pytestmark = pytest.mark.integration

MAX_STARTS = 3
ETA = "2030-01-02T03:04:05+00:00"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Ends:
    """Writes a dead letter, and remembers why."""

    def __init__(self, committer: Any) -> None:
        self.committer = committer
        self.written: list[tuple[str, int | None]] = []

    def dead(
        self,
        commit: Commit,
        reason: str,
        error: str,
        list_key: str,
        headers: Any,
        starts: Any = None,
        links: Any = None,
    ) -> None:
        self.written.append((reason, starts))
        commit.discard()
        commit.bury(keys.dead("orders"), "{}")
        self.committer.submit(commit)


class Delivery:
    """Remembers what is rejected."""

    def __init__(self) -> None:
        self.rejected: list[tuple[str, bool]] = []

    def reject(self, tag: str, *, requeue: bool, commit: Commit, error: Any) -> None:
        self.rejected.append((tag, requeue))


class Intake:
    """As much of one as a runner looks at."""

    def __init__(self, committer: Any, pool: TaskPool) -> None:
        self.committer, self.leases, self.pool = committer, committer.leases, pool
        self.starts = Starts(committer.leases, committer.commit_all, MAX_STARTS)
        self.ends, self.delivery, self.refusals = Ends(committer), Delivery(), Refusals()


class Stage:
    """One message of a task whose body is given, held by a worker."""

    def __init__(self, client: redis.Redis, body: Any) -> None:
        self.client = client
        self.raw = message()
        self.committer, (self.tag,) = holding(client, self.raw)
        app = Celery("x", broker="memory://", backend="cache+memory://", set_as_current=False)

        def work(*_: Any) -> bytes:
            body()
            return b"null"

        task: Any = app.task(name="tasks.x", shared=False, lazy=False, acks_late=True)(work)
        task.work = task.own_run = work
        pool = TaskPool(1, app=app)
        pool.obey = lambda error: None
        self.intake = Intake(self.committer, pool)
        consumer = SimpleNamespace(hostname="w", task_buckets=defaultdict(lambda: None), event_dispatcher=None)
        found = runner_of(task, app, consumer, self.intake)  # type: ignore[arg-type]  # a stand-in
        assert isinstance(found, Runner)
        self.runner = found

    def run(self) -> bool:
        return self.runner.run(Job(None, loads(self.raw), self.raw, self.tag, "orders"), TaskThread(0))

    def come_back(self) -> None:
        """Its worker died; this one has it now."""
        overdue(self.client)
        assert 1 == restore(self.client, SEPARATOR, STEPS)
        claimed = claim(self.client)
        self.committer.leases.held[self.tag] = Lease(claimed.fence, "orders")
        self.intake.starts.stored.update(claimed.starts)


def nothing() -> None:
    return None


def test_a_body_runs_and_its_message_ends(client: redis.Redis) -> None:
    ran: list[int] = []
    stage = Stage(client, lambda: ran.append(1))
    assert stage.run()
    assert stage.committer.commit_all(5)
    assert ([1], 0) == (ran, client.hlen(keys.UNACKED))
    assert OPEN.commit is None


class Dispatcher:
    """Celery's, as far as a runner looks at it: it is enabled for events of workers; `groups` empty: for all."""

    enabled = True

    def __init__(self, groups: set[str]) -> None:
        self.groups = groups
        self.sent: list[str] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append(kind)


@pytest.mark.parametrize(
    ("groups", "sent"),
    [
        ({"worker"}, []),
        ({"worker", "task"}, ["task-received", "task-started", "task-succeeded"]),
        (set(), ["task-received", "task-started", "task-succeeded"]),
    ],
    ids=["nobody", "by remote control", "-E"],
)
def test_events_of_tasks_are_made_only_if_somebody_wants_them(
    client: redis.Redis, groups: set[str], sent: list[str]
) -> None:
    stage = Stage(client, nothing)
    stage.runner.eventer = Dispatcher(groups)
    stage.run()
    stage.committer.commit_all(5)
    assert sent == stage.runner.eventer.sent


def test_a_message_that_is_done_leaves_nothing_to_the_garbage_collector(client: redis.Redis) -> None:
    stage = Stage(client, nothing)
    stage.runner.eventer = Dispatcher(set())
    submitted: list[Any] = []
    submit = stage.runner.submit

    def watched(commit: Commit) -> None:
        submitted.append(weakref.ref(commit))
        submit(commit)

    stage.runner.submit = watched
    gc.disable()
    try:
        stage.run()
        stage.committer.commit_all(5)
        assert [None] == [one() for one in submitted]
    finally:
        gc.enable()


def test_a_body_is_told_of_its_delivery_as_in_a_stock_worker(client: redis.Redis) -> None:
    seen: list[Any] = []
    stage = Stage(client, lambda: seen.append(dict(current_task.request.delivery_info)))
    stage.run()
    assert [{"exchange": "", "routing_key": "orders", "priority": 0, "redelivered": False}] == seen


@pytest.mark.parametrize("how", [{"eta": None, "due_at": ETA}, {"eta": ETA}], ids=["by a task", "by a client"])
def test_a_body_that_waited_in_redis_is_told_until_when(client: redis.Redis, how: dict[str, Any]) -> None:
    frame = {"headers": {**loads(message())["headers"], **how}, "properties": loads(message())["properties"]}
    request = Request.adopt(frame["headers"], frame["properties"], [], {}, "w")
    assert ETA == request.eta


@pytest.mark.parametrize("contract", [False, True], ids=["plain", "contract"])
def test_what_celery_is_to_do_once_goes_its_own_way_unless_a_record_sees_to_it(
    client: redis.Redis, contract: bool
) -> None:
    stage = Stage(client, nothing)
    task = stage.runner.task
    task.app.conf.worker_deduplicate_successful_tasks = True
    if not contract:
        del task.work
    consumer = SimpleNamespace(hostname="w", task_buckets=defaultdict(lambda: None), event_dispatcher=None)
    assert contract == (runner_of(task, task.app, consumer, stage.intake) is not None)  # type: ignore[arg-type]  # a stand-in


def test_what_came_back_runs_as_often_as_it_may_and_then_is_a_dead_letter(client: redis.Redis) -> None:
    ran: list[int] = []

    def dies() -> None:
        ran.append(1)
        raise WorkerShutdown(1)  # it goes back, and its start counts

    stage = Stage(client, dies)
    stage.run()
    for _ in range(10):
        claimed = claim(client)
        if not claimed.messages:
            break
        stage.committer.leases.held[stage.tag] = Lease(claimed.fence, "orders")
        stage.intake.starts.stored.update(claimed.starts)
        stage.run()
        stage.committer.commit_all(5)
    assert (MAX_STARTS, [("poison", MAX_STARTS)]) == (len(ran), stage.intake.ends.written)
    assert (0, 1) == (client.hlen(keys.UNACKED), client.xlen(keys.dead("orders")))


def test_what_came_back_and_is_somebody_elses_by_now_does_not_run(client: redis.Redis) -> None:
    ran: list[int] = []
    stage = Stage(client, lambda: ran.append(1))
    stage.come_back()
    overdue(client)
    restore(client, SEPARATOR, STEPS)
    other = claim(client)
    assert stage.run()
    assert ([], {}) == (ran, stage.committer.leases.held)
    assert other.fence == client.zscore(keys.LEASES, stage.tag)


def test_before_what_came_back_runs_everything_is_committed(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take the process along."""
    monkeypatch.setattr(committer, "FLUSH_SECONDS", math.inf)
    stage = Stage(client, lambda: settled.append(stage.committer.everything_committed))
    settled: list[bool] = []
    client.lpush("orders", other := message("other"))
    stage.come_back()
    stage.committer.leases.held[tag_of(other)] = Lease(stage.committer.leases.held[stage.tag].fence, "orders")
    stage.committer.submit(Commit(tag_of(other)))
    stage.run()
    assert [True] == settled


def test_a_contract_goes_the_short_way_unless_its_run_is_wrapped(client: redis.Redis) -> None:
    stage = Stage(client, nothing)
    task, ways = stage.runner.task, []
    stage.runner.work = lambda *_: ways.append("short") or b"null"  # type: ignore[func-returns-value]  # `append` is there for its effect
    stage.run()
    original = task.run

    @functools.wraps(original)  # it has the name, the module and the attributes of what it wraps
    def wrapper(*args: Any) -> Any:
        ways.append("wrapped")

    task.run = wrapper
    stage.run()
    task.run = original
    stage.run()
    assert ["short", "wrapped", "short"] == ways


class Proxy:
    """As libraries wrap: all but what `type` says is that of the wrapped one."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._wrapped.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == other)

    __hash__ = None  # type: ignore[assignment]


def test_a_wrapper_is_not_taken_for_what_it_wraps() -> None:
    app = Celery("x", broker="memory://", set_as_current=False)

    def body(task: Any) -> None:
        return None

    task: Any = app.task(name="tasks.x", bind=True, shared=False, lazy=False)(body)
    tracer = build_tracer("tasks.x", task, app=app)
    for function in (type(task).__call__, tracer):
        assert (True, False) == (celerys(function), celerys(Proxy(function)))
    own = bare(task.run)
    assert (True, False) == (bare(task.run) is own, bare(Proxy(task.run)) is own)


@pytest.mark.parametrize(
    ("error", "rejected", "held"),
    [(Reject(requeue=True), [True], True), (Reject(requeue=False), [False], True), (Ignore(), [], False)],
    ids=["reject, requeue", "reject", "ignore"],
)
def test_how_a_body_may_end_besides(client: redis.Redis, error: Exception, rejected: list[bool], held: bool) -> None:
    def body() -> None:
        raise error

    stage = Stage(client, body)
    assert stage.run()
    stage.committer.commit_all(5)
    assert rejected == [requeue for _, requeue in stage.intake.delivery.rejected]
    assert held == bool(client.hlen(keys.UNACKED))


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt(), ValueError("no")])
def test_whatever_a_body_raises_ends_its_message_and_not_the_thread(client: redis.Redis, error: BaseException) -> None:
    def body() -> None:
        raise error

    stage = Stage(client, body)
    assert stage.run()
    assert stage.committer.commit_all(5)
    assert 0 == client.hlen(keys.UNACKED)
    assert not client.exists(keys.once("a"))
