"""STARTED where results are in another Redis than messages."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import start_worker
from celery.app.task import Context

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.outcome.commit import Commit, opened
from celeriac.outcome.elsewhere import StartsElsewhere

PLAIN = Path(__file__).parents[1] / "plain.py"
KEY = "celery-task-meta-a"


@pytest.fixture
def results_url(redis_server: Any, redis_url: str) -> str:
    url = f"redis://127.0.0.1:{redis_server.port}/7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def results(results_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(results_url) as client:
        yield client


def elsewhere(broker: str, results: str) -> StartsElsewhere:
    return StartsElsewhere(make_app("x", CelerySettings(broker_url=broker, result_backend=results)), "w@inside")


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status(results: redis.Redis, key: str = KEY) -> Any:
    stored: Any = results.get(key)
    return stored and json.loads(stored)["status"]


def ended() -> Commit:
    commit = Commit("tag", "a")
    commit.stated = True
    return commit


@pytest.mark.parametrize("before", [None, "RETRY", "STARTED", "FAILURE"])
def test_a_body_that_runs_long_is_started_in_the_redis_of_the_results(
    before: str | None, results: redis.Redis, redis_url: str, results_url: str, client: redis.Redis
) -> None:
    if before:
        results.set(KEY, json.dumps({"status": before, "result": "older"}))
    elsewhere(redis_url, results_url).tell(Commit("tag", "a"))
    until(lambda: b"w@inside" in (results.get(KEY) or b""))
    assert "STARTED" == status(results)
    assert 0 < results.ttl(KEY)
    assert [] == client.keys()  # of the broker


def test_a_success_that_is_stored_stays(results: redis.Redis, redis_url: str, results_url: str) -> None:
    results.set(KEY, json.dumps({"status": "SUCCESS"}))
    starts = elsewhere(redis_url, results_url)
    starts.tell(Commit("tag", "a"))
    starts.tell(Commit("tag", "b"))
    until(lambda: status(results, "celery-task-meta-b"))
    assert "SUCCESS" == status(results)


def test_a_body_that_has_ended_meanwhile_is_not_started(results: redis.Redis, redis_url: str, results_url: str) -> None:
    starts = elsewhere(redis_url, results_url)
    starts.tell(ended())
    starts.tell(Commit("tag", "b"))
    until(lambda: status(results, "celery-task-meta-b"))
    assert status(results) is None


def test_an_end_that_is_stored_meanwhile_stays(
    results: redis.Redis, redis_url: str, results_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the write."""
    starts = elsewhere(redis_url, results_url)
    backend: Any = starts._app.backend
    starts._app = SimpleNamespace(backend=backend)  # else every thread has its own
    decode, decoded = backend.decode, []

    def ends(stored: Any) -> Any:
        decoded.append(stored)
        results.set(KEY, json.dumps({"status": "FAILURE"}))
        return decode(stored)

    monkeypatch.setattr(backend, "decode", ends)
    results.set(KEY, json.dumps({"status": "RETRY"}))
    starts.tell(Commit("tag", "a"))
    starts.tell(Commit("tag", "b"))
    until(lambda: status(results, "celery-task-meta-b"))
    assert 1 == len(decoded)
    assert "FAILURE" == status(results)


def test_a_body_that_ends_says_so_before_its_result_is_stored(
    results: redis.Redis, redis_url: str, results_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = elsewhere(redis_url, results_url)._app.backend
    commit, seen = Commit("tag", "a"), []
    monkeypatch.setattr(backend, "_once", lambda *_: seen.append(commit.stated))
    with opened(commit):
        backend.mark_as_done("a", 7, request=Context(id="a"))
    assert [True] == seen


def test_it_is_written_as_the_results_are(redis_url: str, results_url: str) -> None:
    starts = elsewhere(redis_url, results_url)
    app = starts._app
    app.conf.update(result_serializer="pickle", result_accept_content=["pickle"])
    starts.tell(Commit("tag", "a"))
    until(lambda: app.AsyncResult("a").state == "STARTED")


def test_a_redis_that_is_away_holds_nobody_up_and_is_told(
    redis_url: str, redis_to_break: Any, told: list[tuple[str, Mapping[str, Any]]]
) -> None:
    starts = elsewhere(redis_url, redis_to_break.url)
    redis_to_break.stop()
    began = time.monotonic()
    starts.tell(Commit("tag", "a"))
    assert time.monotonic() - began < 0.1
    until(lambda: told)
    ((event, fields),) = told
    assert ("state.not_stored", "a") == (event, fields["task_id"])


def test_while_it_does_not_answer_a_bounded_number_waits(redis_url: str, redis_to_break: Any) -> None:
    starts = elsewhere(redis_url, redis_to_break.url)
    redis_to_break.pause()
    commits = [Commit("tag", str(n)) for n in range(1_500)]
    for commit in commits:
        starts.tell(commit)
    assert 999 <= starts._told.qsize() <= 1_000  # its thread may be about to take one
    for commit in commits:
        commit.stated = True
    redis_to_break.resume()
    until(starts._told.empty)


@pytest.mark.integration
def test_a_worker_tells_it_there_and_leaves_nothing_in_the_brokers(
    redis_server: Any, results_url: str, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{redis_server.port}/6"
    with redis.Redis.from_url(url) as broker:
        broker.flushdb()
        worker = start_worker([str(PLAIN)], url, tmp_path, WORKER_QUEUES="plain", CELERY_RESULT_BACKEND=results_url)
        try:
            worker.wait_until_ready()
            app = make_app("test", CelerySettings(broker_url=url, result_backend=results_url))
            assert "STARTED" == app.send_task("plain.long", queue="plain").get(timeout=10)
            assert [] == broker.keys("celery-task-meta-*")
        finally:
            worker.stop()
