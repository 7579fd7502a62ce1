"""However a message ends, its caller hears of it as from stock Celery: a failure, errbacks, its chord."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker
from celery import Celery, chord
from celery.exceptions import ChordError

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.dead_letter.letters import read

pytestmark = pytest.mark.integration

PLAIN = Path(__file__).parent / "plain.py"
MAX_STARTS = 2
THREADS, PREFORK = {"WORKER_POOL": "threads"}, {"WORKER_POOL": "prefork"}


class Workers:
    """One worker at a time, with what its runtime would do: when it died, there is another."""

    def __init__(self, url: str, folder: Path, environment: dict[str, str]) -> None:
        self.url, self.folder, self.environment = url, folder, environment
        self.worker = self._start()

    def _start(self) -> RunningWorker:
        (self.folder / "health").unlink(missing_ok=True)
        limits = {"CELERY_LEASE_SECONDS": "1", "CELERY_MAX_STARTS": str(MAX_STARTS), "WORKER_QUEUES": "plain"}
        worker = start_worker([str(PLAIN)], self.url, self.folder, **limits, **self.environment)
        worker.wait_until_ready()
        return worker

    def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.worker.output()[-3000:]
            if self.worker.process.poll() is not None:
                self.worker = self._start()
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module", params=[THREADS, PREFORK], ids=["threads", "prefork"])
def workers(
    request: pytest.FixtureRequest, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    url = f"redis://127.0.0.1:{redis_server.port}/7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    workers = Workers(url, tmp_path_factory.mktemp("ends"), request.param)
    yield workers
    workers.worker.stop()


@pytest.fixture
def app(workers: Workers) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=workers.url))
    app.conf.task_default_queue = "plain"
    yield app
    app.close()
    app.backend.result_consumer.stop()
    app.backend.result_consumer._pubsub = None


@pytest.fixture
def client(workers: Workers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(workers.url) as client:
        yield client


def message(app: Celery, client: redis.Redis, name: str, task_id: str, **options: Any) -> dict[str, Any]:
    """A message as stock Celery lays it out, with its errback."""
    told = app.signature("plain.told", queue="plain")
    app.send_task(name, task_id=task_id, queue="aside", link_error=told, **options)
    raw: Any = client.rpop("aside")
    frame: dict[str, Any] = json.loads(raw)
    return frame


def sent(app: Celery, client: redis.Redis, name: str, spoil: Callable[[dict[str, Any]], Any] = lambda _: None) -> str:
    task_id = str(uuid.uuid4())
    frame = message(app, client, name, task_id)
    spoil(frame)
    client.lpush("plain", json.dumps(frame))
    return task_id


def letter(client: redis.Redis, task_id: str) -> Any:
    return next((one for one in read(client) if one.task_id == task_id), None)


def wrong_retries(frame: dict[str, Any]) -> None:
    frame["headers"]["retries"] = "many"


ENDS = {
    "poison": ("plain.kills", lambda _: None, "poison", "PermanentError"),
    "poison in __call__": ("plain.deadly", lambda _: None, "poison", "PermanentError"),
    "unknown": ("plain.nobody_has_it", lambda _: None, "unknown-task", "NotRegistered"),
    "undecodable": ("plain.add", wrong_retries, "undecodable", "InvalidTaskError"),
    "rejected": ("plain.rejects", lambda _: None, "permanent", "Reject"),
}


@pytest.mark.parametrize(("name", "spoil", "reason", "kind"), ENDS.values(), ids=ENDS.keys())
def test_its_caller_gets_a_failure_and_its_errback_is_called(
    name: str, spoil: Any, reason: str, kind: str, app: Celery, client: redis.Redis, workers: Workers
) -> None:
    task_id = sent(app, client, name, spoil)
    result = app.AsyncResult(task_id)
    workers.until(lambda: result.state == "FAILURE")
    assert kind == type(result.result).__name__
    found = workers.until(lambda: letter(client, task_id))
    assert reason == found.reason
    workers.until(lambda: json.dumps(task_id).encode() in client.lrange("notes-errback", 0, -1))


@pytest.mark.parametrize("name", ["plain.kills", "plain.deadly", "plain.nobody_has_it", "plain.rejects"])
def test_its_chord_is_told(name: str, app: Celery, workers: Workers) -> None:
    bad, good = app.signature(name), app.signature("plain.add", args=(1, 2))
    body = chord([bad, good], app.signature("plain.same"), app=app).apply_async()
    workers.until(lambda: body.state == "FAILURE")
    assert isinstance(body.result, ChordError)


@pytest.mark.parametrize("name", ["plain.fail", "plain.rejects", "plain.nobody_has_it"])
def test_an_errback_that_wants_to_end_its_process_is_called_and_ends_nothing(
    name: str, app: Celery, client: redis.Redis, workers: Workers
) -> None:
    if workers.environment == PREFORK and name != "plain.nobody_has_it":
        pytest.skip("there Celery calls it, and its process ends")
    process = workers.worker.process
    result = app.signature(name, queue="plain").apply_async(link_error=app.signature("plain.told_and_exits"))
    workers.until(lambda: result.state == "FAILURE")
    workers.until(lambda: not client.hlen("unacked"))
    assert json.dumps(result.id).encode() in client.lrange("notes-errback", 0, -1)
    assert (process, None) == (workers.worker.process, process.poll())


@pytest.mark.parametrize("name", ["plain.echo", "plain.hooked", "plain.exits_plainly"])
def test_a_listener_that_wants_to_end_its_process_does_not_change_how_its_task_ends(
    name: str, workers: Workers, tmp_path: Path
) -> None:
    if workers.environment == PREFORK:
        pytest.skip("there it ends the process of the task, as with stock Celery")
    beside = {"PLAIN_EXITS": "task_postrun", "WORKER_QUEUES": "exits"}
    worker = start_worker([str(PLAIN)], workers.url, tmp_path, **beside)
    worker.wait_until_ready()
    with make_app("test", CelerySettings(broker_url=workers.url)) as app:
        result = app.send_task(name, queue="exits")
        expected = "FAILURE" if "exits" in name else "SUCCESS"
        try:
            workers.until(lambda: result.state == expected, seconds=10)
        finally:
            assert 0 == worker.stop()
            app.backend.result_consumer.stop()
            app.backend.result_consumer._pubsub = None


@pytest.mark.parametrize("name", ["plain.exits", "plain.exits_plainly", "plain.exits_before"])
def test_a_body_that_wants_to_end_its_process_is_a_failure_of_its_task(
    name: str, app: Celery, client: redis.Redis, workers: Workers
) -> None:
    if workers.environment == PREFORK:
        pytest.skip("there it ends its process, as with stock Celery")
    task_id = sent(app, client, name)
    result = app.AsyncResult(task_id)
    workers.until(lambda: result.state == "FAILURE")
    assert "SystemExit: no" in str(result.result)
    workers.until(lambda: json.dumps(task_id).encode() in client.lrange("notes-errback", 0, -1))
    body = chord([app.signature(name), app.signature("plain.add", args=(1, 2))], app.signature("plain.same"), app=app)
    told = body.apply_async()
    workers.until(lambda: told.state == "FAILURE")
    assert isinstance(told.result, ChordError)


def test_a_body_that_cannot_be_read_is_a_failure_of_its_caller(
    app: Celery, client: redis.Redis, workers: Workers
) -> None:
    task_id = sent(app, client, "plain.add", lambda frame: frame.update(body="?"))
    workers.until(lambda: app.AsyncResult(task_id).state == "FAILURE")
    assert "undecodable" == workers.until(lambda: letter(client, task_id)).reason


def test_a_due_time_that_cannot_be_read_is_a_failure_of_its_caller(
    app: Celery, client: redis.Redis, workers: Workers
) -> None:
    """The claim itself leaves this letter."""
    task_id = sent(app, client, "plain.add", lambda frame: frame["headers"].update(eta="tomorrow"))
    workers.until(lambda: app.AsyncResult(task_id).state == "FAILURE")
    workers.until(lambda: json.dumps(task_id).encode() in client.lrange("notes-errback", 0, -1))


def test_a_success_is_not_replaced_by_the_failure_of_a_copy(app: Celery, client: redis.Redis, workers: Workers) -> None:
    """As with stock Celery: a success stays."""
    task_id = str(uuid.uuid4())
    frame = message(app, client, "plain.add", task_id, args=(1, 2))
    client.lpush("plain", json.dumps(frame))
    assert 3 == app.AsyncResult(task_id).get(timeout=10)
    wrong_retries(frame)
    frame["properties"]["delivery_tag"] = str(uuid.uuid4())
    client.lpush("plain", json.dumps(frame))
    workers.until(lambda: letter(client, task_id))
    assert "SUCCESS" == app.AsyncResult(task_id).state


def test_a_message_that_its_task_requeues_comes_again_and_says_so(
    app: Celery, client: redis.Redis, workers: Workers
) -> None:
    number = 2**70  # more than Lua or a float would keep
    result = app.send_task("plain.rejects_until_redelivered", (number,))
    workers.until(lambda: result.state == "SUCCESS")
    assert number == result.result
    assert [b"false", b"true"] == client.lrange(f"notes-runs-{result.id}", 0, -1)
    published = client.exists(f"celery-task-meta-child-of-{result.id}")
    assert published == (workers.environment is PREFORK)  # there, what a plain task publishes goes out at once


def test_requeueing_is_no_death_however_often(app: Celery, client: redis.Redis, workers: Workers) -> None:
    result = app.send_task("plain.rejects_seven_times")
    workers.until(lambda: result.state == "SUCCESS")
    assert 8 == result.result
    workers.until(lambda: not client.hlen("unacked"))
    assert not client.hlen("celery-starts")


def test_what_its_task_requeues_goes_behind_the_others(app: Celery, client: redis.Redis, workers: Workers) -> None:
    """As with stock Celery: a message that nobody can do yet holds nobody up."""
    requeued = app.send_task("plain.rejects_seven_times")
    others = [app.send_task("plain.add", (1, number)) for number in range(20)]
    workers.until(lambda: all(one.state == "SUCCESS" for one in (requeued, *others)))


@pytest.mark.parametrize("sends", [False, True], ids=["of a client", "of a task"])
def test_a_countdown_tells_its_task_when_it_was_due(sends: bool, app: Celery, workers: Workers) -> None:
    result = app.send_task("plain.eta", (sends,), countdown=0.3)
    workers.until(lambda: result.state == "SUCCESS")
    if sends:
        result = app.AsyncResult(result.result)
        workers.until(lambda: result.state == "SUCCESS")
    assert datetime.fromisoformat(result.result) < datetime.now(UTC)
