"""What reads a result inside a task sees what stock Celery would show there; hooks see the world behind the commit."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker
from celery import Celery, chain, chord, group

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings

pytestmark = pytest.mark.integration

PLAIN = Path(__file__).parent / "plain.py"


@pytest.fixture(scope="module")
def url(redis_server: Any) -> str:
    return f"redis://127.0.0.1:{redis_server.port}/6"


ONE, FOUR = {"WORKER_CONCURRENCY": "1"}, {"WORKER_CONCURRENCY": "4"}
STOCK = FOUR | {"CELERY_TRANSPORT": "stock"}  # what stock shows is what is right


@pytest.fixture(scope="module", params=[ONE, FOUR, STOCK], ids=["one thread", "four threads", "stock"])
def worker(
    request: pytest.FixtureRequest, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorker]:
    folder = tmp_path_factory.mktemp("plain")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    worker = start_worker([str(PLAIN)], url, folder, WORKER_QUEUES="plain", **request.param)
    worker.wait_until_ready()
    yield worker
    worker.stop()


@pytest.fixture
def app(url: str, worker: RunningWorker) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=url))
    app.conf.task_default_queue = "plain"
    yield app
    app.close()
    app.backend.result_consumer.stop()
    app.backend.result_consumer._pubsub = None


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def stock(worker: RunningWorker) -> bool:
    return "CELERY_TRANSPORT" in worker.environment


def task(app: Celery, name: str) -> Any:
    """As much of a task as a client has."""
    sign = partial(app.signature, f"plain.{name}", app=app)
    return SimpleNamespace(
        s=lambda *args: sign(args=args),
        delay=lambda *args, **kwargs: sign(args=args, kwargs=kwargs).apply_async(),
        apply_async=lambda **options: sign().apply_async(**options),
    )


def notes(client: redis.Redis, name: str, task_id: str, seconds: float = 5.0) -> list[Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = [json.loads(one) for one in client.lrange(f"notes-{name}", 0, -1)]
        if mine := [one for one in found if one[0] == task_id]:
            return mine[0]
        time.sleep(0.01)
    raise AssertionError(f"{name} noted nothing of {task_id}")


def test_a_chord_whose_last_part_reads_its_own_result_is_completed(app: Celery) -> None:
    """Celery joins the results of a nested header inside the task that completes it."""
    add, same = task(app, "add"), task(app, "same")
    nested = chord([chain(add.s(1, 1), group(add.s(1), add.s(2))), add.s(9, 9)], same.s())
    assert [[3, 4], 18] == nested.apply_async().get(timeout=10)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (lambda add: [group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], [4, 2, 6]),
        (lambda add: [group(group(add.s(1, 1)), add.s(2, 2)), chain(add.s(1, 1), add.s(1))], [4, 2, 3]),
        (lambda add: [chord([add.s([1], [1]), add.s([2], [2])], add.s([])), add.s(3, 3)], [[[1, 1], [2, 2]], 6]),
        (lambda add: [group(add.s(n, n)) for n in range(6)], [0, 2, 4, 6, 8, 10]),
    ],
    ids=["a group in it", "groups in groups", "a chord in it", "groups alone"],
)
def test_chords_of_every_shape_are_completed(header: Any, expected: Any, app: Celery) -> None:
    assert expected == chord(header(task(app, "add")), task(app, "same").s()).apply_async().get(timeout=10)


WAYS = [
    "ready",
    "successful",
    "state",
    "status",
    "result",
    "info",
    "date_done",
    "another object",
    "backend",
    "get_many",
]
WAYS += ["result set", "group", "group ready", "group restored", "chain", "chord", "countdown", "join"]
WAYS += [f"{what} in a thread" for what in ("child", "chain", "chord", "group", "countdown")]
WAYS += ["a queue", "a queue's length"]


@pytest.mark.parametrize("how", WAYS)
def test_a_body_that_asks_for_its_child_sees_it_end(how: str, app: Celery, worker: RunningWorker) -> None:
    if worker.environment["WORKER_CONCURRENCY"] == "1":
        pytest.skip("the child would need a second thread, as with stock Celery")
    assert task(app, "polls").delay(how).get(timeout=15) in (True, [3, 7])


def test_a_thread_that_asks_while_its_body_sends_gets_each_child_once(
    app: Celery, client: redis.Redis, worker: RunningWorker
) -> None:
    if worker.environment["WORKER_CONCURRENCY"] == "1":
        pytest.skip("the children would need a second thread, as with stock Celery")
    result = task(app, "races").delay(200)
    assert result.get(timeout=20) is True
    assert sorted(map(int, client.lrange(f"notes-counted-{result.id}", 0, -1))) == list(range(200))


def test_what_is_no_result_is_an_error_of_who_reads_it(app: Celery, worker: RunningWorker) -> None:
    if stock(worker):
        pytest.skip("tried again for ever: Celery takes it for an error of the connection")
    with pytest.raises(KeyError):
        task(app, "reads_nonsense").delay().get(timeout=10)


def test_what_a_forked_process_sends_is_sent(app: Celery) -> None:
    child_id = task(app, "forks").delay().get(timeout=10)
    assert 3 == app.AsyncResult(child_id).get(timeout=10)


def test_a_body_sees_its_own_state(app: Celery) -> None:
    assert ["STARTED", "PROGRESS"] == task(app, "own").delay().get(timeout=10)


def test_a_state_that_the_body_stored_is_not_replaced_by_started(app: Celery) -> None:
    assert "PROGRESS" == task(app, "progress").delay().get(timeout=10)


@pytest.mark.parametrize("then", ["goes on", "fails", "is ignored"])
def test_a_success_that_the_body_stores_is_seen_at_once_and_stays(then: str, app: Celery, client: redis.Redis) -> None:
    result = task(app, "tells").delay(then)
    assert "early" == result.get(timeout=10)
    assert 0 < client.hlen("unacked")  # it still runs
    deadline = time.monotonic() + 5
    while client.hlen("unacked"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ("SUCCESS", "early") == (app.AsyncResult(result.id).state, app.AsyncResult(result.id).result)


def test_a_failure_that_the_body_stores_stays_where_it_is_ignored_then(app: Celery) -> None:
    with pytest.raises(ValueError, match="by hand"):
        task(app, "says_no").delay().get(timeout=10)


def test_what_a_body_says_of_its_progress_is_its_state(app: Celery) -> None:
    first, last = {"progress": 0.25, "note": "one of four"}, {"progress": 1.0, "note": "?" + "n" * 198 + "…"}
    assert [first, last] == task(app, "says").delay().get(timeout=10)


def test_a_body_that_runs_for_long_is_stored_as_started(app: Celery) -> None:
    assert "STARTED" == task(app, "long").delay().get(timeout=10)


@pytest.mark.parametrize(
    ("how", "hook", "state"),
    [
        ("well", "on_success", "SUCCESS"),
        ("fails", "on_failure", "FAILURE"),
        ("retries", "on_retry", "RETRY"),
        ("well", "after_return", "SUCCESS"),
        ("fails", "after_return", "FAILURE"),
    ],
)
def test_a_hook_finds_the_world_as_it_is_after_the_task(
    how: str, hook: str, state: str, app: Celery, client: redis.Redis, worker: RunningWorker
) -> None:
    client.delete("elsewhere")
    result = task(app, "hooked").delay(how)
    _, seen, unacked, published = notes(client, hook, result.id)
    assert state == seen
    assert stock(worker) is bool(unacked)  # stock Celery acknowledges behind its hooks
    assert 1 <= published


def test_a_hook_that_fails_changes_nothing(app: Celery, client: redis.Redis) -> None:
    result = task(app, "hooked").apply_async(kwargs={"breaks": True})
    assert "well" == result.get(timeout=10)
    assert "SUCCESS" == notes(client, "on_success", result.id)[1]
    again = task(app, "add").delay(1, 2)
    assert 3 == again.get(timeout=10)
    deadline = time.monotonic() + 5
    while client.hlen("unacked"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


SIGNALS = {
    "task_success": ("well", "SUCCESS"),
    "task_failure": ("fails", "FAILURE"),
    "task_retry": ("retries", "RETRY"),
}


@pytest.fixture(scope="module")
def listener(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A worker in whose process somebody listens to Celery's signals."""
    folder = tmp_path_factory.mktemp("listener")
    listen = {"PLAIN_SIGNALS": ",".join(SIGNALS), "PLAIN_EVENTS": "1"}
    worker = start_worker([str(PLAIN)], url, folder, WORKER_QUEUES="heard", **listen)
    worker.wait_until_ready()
    yield worker
    worker.stop()


@pytest.mark.parametrize("name", ["echo", "hooked"])  # in a runner's own tracer, and in Celery's
@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_is_sent_behind_the_commit(
    name: str, signal: str, url: str, client: redis.Redis, listener: RunningWorker
) -> None:
    how, state = SIGNALS[signal]
    with make_app("test", CelerySettings(broker_url=url)) as app:
        result = app.send_task(f"plain.{name}", args=(how,), queue="heard")
        assert [result.id, state, 0] == notes(client, signal, result.id)
        app.backend.result_consumer.stop()
        app.backend.result_consumer._pubsub = None


@pytest.mark.parametrize("name", ["echo", "hooked"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("well", ["task.succeeded"]),
        ("fails", ["task.failed"]),
        ("retries", ["task.published", "task.retrying", "task.succeeded"]),  # for Celery, a retry is a publish
    ],
)
def test_a_listener_of_transitions_hears_each_once_behind_the_commit(
    name: str, how: str, expected: list[str], url: str, client: redis.Redis, listener: RunningWorker
) -> None:
    with make_app("test", CelerySettings(broker_url=url)) as app:
        task_id = app.send_task(f"plain.{name}", args=(how,), queue="heard").id
        app.backend.result_consumer.stop()
        app.backend.result_consumer._pubsub = None

    def heard() -> list[str]:
        found = [json.loads(one) for one in client.lrange("notes-events", 0, -1)]
        return [event for one, event, task in found if one == task_id and task == f"plain.{name}"]

    deadline = time.monotonic() + 5
    while len(heard()) < len(expected):
        assert time.monotonic() < deadline, heard()
        time.sleep(0.01)
    time.sleep(0.05)
    assert expected == heard()
