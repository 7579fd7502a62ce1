"""Runs that somebody watches; and that a message which only looks like one of devctl's benchmark is like any other."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from celeriac.app.settings import CelerySettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.environment import load
from celeriac.errors import PermanentError, SettingsError
from celeriac.observer import observe
from celeriac.outcome.commit import OPEN, Commit
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.worker.app import make_worker


class Note(TaskPayload):
    fails: bool = False


class Nothing(TaskResult):
    pass


child = Contract("test.child", "children", Note, Nothing)
parent = Contract("test.parent", "parents", Note, Nothing)


@implements(parent)
def handle(payload: Note, outcome: Outcome) -> Nothing:
    if payload.fails:
        raise PermanentError("no")
    outcome.publish(child, Note(source_service="test"))
    return Nothing()


class Watch:
    """What an observer may want: follow-ups elsewhere, and to know what is done."""

    def __init__(self) -> None:
        self.headers = {"watched": "yes"}
        self.ended: list[Any] = []

    def queue(self, queue: str) -> str:
        return f"watched.{queue}"

    def done(self, task_id: str, started: float, finished: float, worker: str) -> None:
        self.ended.append((task_id, started <= finished, worker))


class Watcher:
    def __init__(self) -> None:
        self.watched = Watch()

    def watch(self, request: Any) -> Watch | None:
        return self.watched if request.get("watched") else None


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_worker("test", [handle], CelerySettings(broker_url=redis_url)) as app:
        yield app


def run(app: Celery, headers: dict[str, Any], *, fails: bool = False) -> Commit:
    """Run it as Celery's tracer does in our pool: in an open commit, which is returned as the run left it."""
    commit = Commit("tag", "parent")
    payload = Note(source_service="test", fails=fails).model_dump(mode="json")
    task: Any = app.tasks[parent.name]
    task.push_request(id="parent", root_id="root", hostname="w@h", args=[payload], kwargs={}, retries=0, **headers)
    OPEN.commit = commit
    try:
        task.run(payload)
    except PermanentError:
        pass
    finally:
        OPEN.commit = None
        task.pop_request()
    for callback in commit.after:
        callback()
    return commit


def follow_ups(commit: Commit) -> list[tuple[str, dict[str, Any]]]:
    return [
        (str(queue), json.loads(raw)["headers"])
        for queue, raw in zip(commit.children[::2], commit.children[1::2], strict=True)
    ]


LIKE_ANY_OTHER = [{}, {"bench_run": "r1"}, {"watched": ""}]


@pytest.mark.parametrize("headers", LIKE_ANY_OTHER)
def test_follow_ups_of_a_run_that_nobody_watches_go_to_their_queue(app: Celery, headers: Any) -> None:
    observe(app, Watcher())
    ((queue, sent),) = follow_ups(run(app, headers))
    assert "children" == queue
    assert not {"bench_run", "watched"} & sent.keys()


@pytest.mark.parametrize("headers", LIKE_ANY_OTHER)
def test_a_failure_that_nobody_watches_is_a_dead_letter(app: Celery, headers: Any) -> None:
    assert run(app, headers, fails=True).dead_key.endswith("parents")


@pytest.mark.parametrize("headers", LIKE_ANY_OTHER)
def test_a_run_that_nobody_watches_is_in_the_log(app: Celery, headers: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    run(app, headers)
    run(app, headers, fails=True)
    told = [record.message for record in caplog.records]
    started = "task.started"
    assert [started, "task.published", "task.succeeded", started, "task.failed", "task.dead"] == told


def test_a_watched_run_has_its_follow_ups_elsewhere_no_line_and_no_dead_letter(app: Celery, caplog: Any) -> None:
    watcher = Watcher()
    observe(app, watcher)
    caplog.set_level(logging.INFO, "celeriac")
    ((queue, sent),) = follow_ups(run(app, {"watched": "yes"}))
    assert ("watched.children", "yes") == (queue, sent["watched"])
    assert [("parent", True, "w@h")] == watcher.watched.ended
    assert [] == caplog.records

    assert not run(app, {"watched": "yes"}, fails=True).dead_key
    assert 1 == len(watcher.watched.ended)


@pytest.mark.integration
def test_without_the_setting_no_worker_has_the_workbench(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKER_MOUNT", raising=False)
    assert [] == load(WorkerSettings).mounts
    app = make_worker("test", [handle], CelerySettings(broker_url=redis_url))
    assert ("parents",) == app.owned_queues  # type: ignore[attr-defined]  # an attribute of ours on the app
    assert not {"tasks.bench", "tasks.chaos"} & set(app.tasks)


@pytest.mark.parametrize("ledger", ["", "redis://127.0.0.1:1/0"])
def test_the_setting_mounts_it(app: Celery, monkeypatch: pytest.MonkeyPatch, ledger: str) -> None:
    monkeypatch.setenv("WORKER_MOUNT", " celeriac.workbench,")
    monkeypatch.setenv("CHAOS_LEDGER_URL", ledger)
    (mount,) = load(WorkerSettings).mounts
    mount(app)
    chaos = ("chaos", "chaos-children") if ledger else ()
    assert ("parents", "bench", *chaos) == app.owned_queues  # type: ignore[attr-defined]  # an attribute of ours on the app
    assert {"tasks.bench", *(["tasks.chaos", "tasks.chaos_child"] if ledger else [])} <= set(app.tasks)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no.such", r"no\.such cannot be imported: ModuleNotFoundError: No module named 'no'"),
        ("celeriac.workbench, celeriac.events", r"celeriac\.events has no function mount\(app\)"),
        ("celeriac..x", r"celeriac\.\.x cannot be imported"),
        (".relative", r"\.relative cannot be imported"),
    ],
)
def test_a_wrong_name_is_one_line(value: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MOUNT", value)
    with pytest.raises(SettingsError, match=f"^WORKER_MOUNT is wrong: {problem}") as told:
        load(WorkerSettings)
    assert "\n" not in str(told.value)


@pytest.mark.integration
def test_what_a_bench_measures_is_in_its_ledger_alone(
    app: Celery, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("WORKER_MOUNT", "celeriac.workbench")
    (mount,) = load(WorkerSettings).mounts
    mount(app)
    ((queue, sent),) = follow_ups(run(app, {"bench_run": "r1"}))
    assert ("bench.r1.children", "r1") == (queue, sent["bench_run"])
    app.observer.close()  # type: ignore[attr-defined]  # the same
    with redis.Redis.from_url(redis_url) as client:
        (entry,) = client.lrange("devctl:bench:r1:ledger", 0, -1)
    assert ["parent", "w@h"] == [json.loads(entry)[0], json.loads(entry)[3]]
    ((queue, _),) = follow_ups(run(app, {}))
    assert "children" == queue
