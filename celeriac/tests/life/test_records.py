"""What a real worker writes down of the steps of messages."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker
from celery import Celery

from celeriac import (
    find_dead_letter,
    make_app,
    pause_queue,
    read_dead_letters,
    replay_dead_letter,
    resume_queue,
)
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.life.record import Kind, Record
from celeriac.life.unpack import records
from celeriac.message.frame import frame

pytestmark = pytest.mark.integration


def written(client: redis.Redis, task_id: str = "") -> list[Record]:
    """All records; those of one task, by its id and by its tags."""
    entries: Any = client.xrange(keys.LIFE)
    found = [one for entry, fields in entries for one in records(entry, fields)]
    tags = {one.tag for one in found if one.task_id == task_id and one.tag}
    return [one for one in found if not task_id or one.task_id == task_id or one.tag in tags]


def until(there: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def client(worker_url: str, misbehaving_worker: RunningWorker) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(worker_url) as client:
        client.delete(keys.LIFE)
        yield client


@pytest.fixture
def app(worker_url: str, misbehaving: ModuleType) -> Iterator[Celery]:
    app = make_app("shop", CelerySettings(broker_url=worker_url), contracts=[misbehaving.misbehave])
    yield app
    app.close()


def ended(client: redis.Redis, task_id: str, *kinds: Kind) -> list[Record]:
    return until(lambda: (found := written(client, task_id)) and found[-1].kind in kinds and found)


def test_it_was_published_claimed_run_and_committed(client: redis.Redis, app: Celery, misbehaving: ModuleType) -> None:
    task_id = misbehaving.misbehave.bind(app).apply_async(misbehaving.Plan(source_service="t", task_id=uuid4())).id
    published, claimed, committed = ended(client, task_id, Kind.COMMITTED)
    assert (Kind.PUBLISHED, "shop", "test", "test.misbehave") == (
        *(published.kind, published.who, published.queue, published.task),
    )
    assert published.tag == claimed.tag == committed.tag
    assert claimed.who == committed.who
    assert committed.who.startswith("misbehaving@")
    assert "SUCCESS" == committed.state
    assert committed.since is not None
    assert committed.seconds is not None
    assert published.at <= claimed.at <= committed.since + 0.002 <= committed.at + 0.002
    assert 0 < committed.seconds < 1


def test_each_attempt_has_its_error_and_what_it_publishes(
    client: redis.Redis, app: Celery, misbehaving: ModuleType
) -> None:
    plan = misbehaving.Plan(source_service="t", task_id=uuid4(), how="connection", failures=2)
    task_id = misbehaving.misbehave.bind(app).apply_async(plan).id
    found = ended(client, task_id, Kind.COMMITTED)
    attempt = [Kind.PUBLISHED, Kind.CLAIMED]
    assert [*attempt, Kind.RETRIED, *attempt, Kind.RETRIED, *attempt, Kind.COMMITTED] == [one.kind for one in found]
    retried = [one for one in found if one.kind is Kind.RETRIED]
    assert ["ConnectionRefusedError: [Errno 111] refused"] * 2 == [one.error for one in retried]
    assert [0, 1, 2] == [one.attempt for one in found if one.kind in (Kind.RETRIED, Kind.COMMITTED)]
    assert [0, 1, 2] == [one.attempt for one in found if one.kind is Kind.PUBLISHED]
    assert 3 == len({one.tag for one in found})
    assert all(one.due_at is not None and one.due_at > one.at for one in retried)
    (child,) = [one for one in written(client) if one.parent_id == task_id]
    assert (Kind.PUBLISHED, "test.note", "notes", task_id) == (child.kind, child.task, child.queue, child.root_id)


def test_a_dead_letter_says_why_and_its_replay_follows(
    client: redis.Redis, app: Celery, misbehaving: ModuleType
) -> None:
    plan = misbehaving.Plan(source_service="t", task_id=uuid4(), how="permanent", failures=1)
    task_id = misbehaving.misbehave.bind(app).apply_async(plan).id
    dead = ended(client, task_id, Kind.DEAD)[-1]
    assert ("permanent", "PermanentError: never", "FAILURE") == (dead.reason, dead.error, dead.state)
    (letter,) = [one for one in read_dead_letters(client) if one.task_id == task_id]
    whole = find_dead_letter(client, letter.id)
    assert whole is not None
    assert replay_dead_letter(client, whole)
    *_, replayed, claimed, committed = ended(client, task_id, Kind.COMMITTED)
    assert (Kind.REPLAYED, Kind.CLAIMED) == (replayed.kind, claimed.kind)
    assert replayed.tag == claimed.tag == committed.tag != dead.tag
    assert letter.id in replayed.reason


def test_a_stock_publisher_writes_nothing_and_the_outcome_says_what_is_known(
    client: redis.Redis,
) -> None:
    task_id = str(uuid4())
    client.lpush(
        "test", frame("test.plain", "test", ["a"], task_id=task_id, root_id="the root", parent_id="the parent")
    )
    found = ended(client, task_id, Kind.COMMITTED)
    assert "test.plain" == found[-1].task
    assert ("the root", "the parent") == (found[-1].root_id, found[-1].parent_id)


def test_what_celery_publishes_outside_a_task_is_written_down(client: redis.Redis, app: Celery) -> None:
    task_id = app.send_task("test.plain", ["a"], queue="test", priority=3, countdown=1).id
    found = ended(client, task_id, Kind.COMMITTED)
    assert [Kind.PUBLISHED, Kind.CLAIMED, Kind.COMMITTED] == [one.kind for one in found]
    assert ("test.plain", "test", 3) == (found[0].task, found[0].queue, found[0].priority)
    assert found[0].due_at is not None
    assert 0 < found[0].due_at - found[0].at < 1.01


def test_the_tasks_of_a_chain_say_who_came_before(client: redis.Redis, app: Celery) -> None:
    first, second = (app.signature("test.plain", (text,), immutable=True, queue="test") for text in "ab")
    last = (first | second).apply_async()
    found = ended(client, str(last.id), Kind.COMMITTED)
    before = ended(client, str(last.parent.id), Kind.COMMITTED)
    assert (last.parent.id, last.parent.id) == (found[0].parent_id, found[0].root_id)
    assert Kind.PUBLISHED is found[0].kind is before[0].kind


def test_a_message_on_celerys_own_way_has_its_state_too(client: redis.Redis, app: Celery) -> None:
    task_id = app.send_task("test.celerys", ["a"], queue="test").id
    committed = ended(client, task_id, Kind.COMMITTED)[-1]
    assert "SUCCESS" == committed.state
    assert committed.seconds is not None


def test_a_revoked_message_says_so(client: redis.Redis, app: Celery) -> None:
    pause_queue(client, "test")
    task_id = app.send_task("test.plain", ["a"], queue="test").id
    app.control.revoke(task_id)
    heard = app.control.inspect(timeout=0.3).revoked
    until(lambda: task_id in [one for ids in (heard() or {}).values() for one in ids])
    resume_queue(client, "test")
    assert "REVOKED" == ended(client, task_id, Kind.COMMITTED)[-1].state


def test_in_prefork_each_attempt_has_one_end(
    redis_url: str, misbehaving: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = [str(Path(__file__).parents[1] / "misbehaving.py")]
    worker = start_worker(command, redis_url, tmp_path_factory.mktemp("prefork"), WORKER_POOL="prefork")
    worker.wait_until_ready()
    app = make_app("shop", CelerySettings(broker_url=redis_url), contracts=[misbehaving.misbehave])
    try:
        contract = misbehaving.misbehave.bind(app)
        plan = {"source_service": "t", "failures": 1}
        retried = contract.apply_async(misbehaving.Plan(task_id=uuid4(), how="connection", **plan)).id
        dead = contract.apply_async(misbehaving.Plan(task_id=uuid4(), how="permanent", **plan)).id
        plain = app.send_task("test.plain", ["a"], queue="test").id
        with redis.Redis.from_url(redis_url) as client:
            until(lambda: not client.hlen(keys.UNACKED) and len(written(client)) >= 13, 20)
            ends = [[one.kind for one in written(client, task_id)] for task_id in (retried, dead, plain)]
        attempt = [Kind.PUBLISHED, Kind.CLAIMED]
        assert sorted([*attempt, Kind.RETRIED, *attempt, Kind.COMMITTED]) == sorted(ends[0])
        assert [[*attempt, Kind.DEAD], [*attempt, Kind.COMMITTED]] == ends[1:]
    finally:
        app.close()
        worker.stop()
