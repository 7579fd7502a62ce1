"""The doctor in repositories that know nothing of devctl: what it finds by their files alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from devctl.__main__ import main
from devctl.broker.port import Consumer, QueueDepth
from devctl.doctor import apps, workers
from devctl.doctor.celery.rules import RULES
from devctl.doctor.facts import Facts
from devctl.settings import load
from devctl.stack.port import Replica
from devctl.workbench import Workbench

REPOSITORIES = Path(__file__).parents[2] / "repositories"
COMPOSE = """
services:
  redis: {image: redis:8}
  jobs: {build: ., command: celery -A shop worker, environment: {CELERY_BROKER_URL: redis://redis:6379/0}}
"""


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")  # no engine

    def run() -> dict[str, list[str]]:
        main(["doctor", "--json"])
        found: dict[str, list[str]] = {}
        for one in json.loads(capsys.readouterr().out)["checks"]:
            assert "this check failed" not in one["message"], one
            if one["status"] in ("problem", "warning", "skipped"):
                found.setdefault(one["name"], []).append(f"{one['place']} {one['message']}".strip())
        return found

    return run


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("fastapi", {"acks-early", "retry-backoff", "socket-timeout", "logfile"}),
        ("django", {"acks-early", "worker-lost", "socket-timeout"}),
        ("rabbitmq", {"acks-early", "publish-confirm", "connection-loss"}),
    ],
)
def test_each_of_our_three_repositories_has_its_findings(tmp_path: Path, doctor: Any, name: str, ids: set[str]) -> None:
    shutil.copytree(REPOSITORIES / name, tmp_path, dirs_exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    found = doctor()
    assert ids <= set(found)
    assert {"eager", "pickle", "join-in-task", "async-task"}.isdisjoint(found)
    assert before == sorted(tmp_path.rglob("*")), "the doctor wrote something"


def shop(root: Path, code: str, compose: str = COMPOSE) -> None:
    (root / "docker-compose.yml").write_text(compose)
    (root / "shop.py").write_text(code)
    (root / "requirements.txt").write_text("celery==5.4.0\n")


GOOD = """
from celery import Celery
app = Celery("shop")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_time_limit=60, worker_prefetch_multiplier=1,
    broker_transport_options={"socket_timeout": 5})
"""


def test_an_app_with_good_settings_has_none_of_celerys_findings(tmp_path: Path, doctor: Any) -> None:
    shop(tmp_path, GOOD + "\n@app.task\ndef resize(picture):\n    pass\n")
    named = {rule.id for rule in RULES}
    assert [] == sorted(named & set(doctor()))


def test_a_setting_that_only_running_the_code_would_tell_is_not_known(tmp_path: Path, doctor: Any) -> None:
    shop(tmp_path, GOOD.replace("task_acks_late=True", "task_acks_late=decide()") + "\n@app.task\ndef a():\n    pass\n")
    found = doctor()
    assert "acks-early" not in found
    (said,) = found["celery"]
    assert said.startswith("not known of shop: task_acks_late"), said


def test_of_an_app_that_is_not_here_nothing_is_called_good(tmp_path: Path, doctor: Any) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE.replace("build: .", "image: somebody/shop:3"))
    (said,) = doctor()["celery"]
    assert said.startswith("not known of shop: what the code does, all tasks, the versions of packages, task_acks_late")
    assert said.endswith("(the code of the app is not here, or was not found)")


def test_an_app_of_which_something_is_not_known_is_not_in_order(tmp_path: Path) -> None:
    def statuses(compose: str) -> list[str]:
        shop(tmp_path, GOOD + "\n@app.task\ndef a():\n    pass\n", compose)
        facts = Facts(Workbench(load(start=tmp_path, environ={"PATH": "/nowhere"})))
        return [one.status for one in apps.celery(facts)]

    assert ["ok"] == statuses(COMPOSE)
    assert ["skipped"] == statuses(COMPOSE.replace("build: .", "image: somebody/shop:3"))


def test_names_of_tasks_are_uncertain_where_the_app_lies_elsewhere(tmp_path: Path, doctor: Any) -> None:
    routes = 'app.conf.task_routes = {"deep.shop.resize": "pictures"}\n'
    code = GOOD + routes + "\n@app.task\ndef resize():\n    pass\n\n\ndef view():\n    resize.delay()\n"
    shop(tmp_path, code, COMPOSE.replace("-A shop worker", "-A deep.shop worker -Q pictures"))
    assert {"queue-unconsumed", "route-unknown"}.isdisjoint(doctor())
    shop(tmp_path, code, COMPOSE.replace("-A shop worker", "-A shop worker -Q pictures"))
    assert {"queue-unconsumed", "route-unknown"} <= set(doctor())


def test_a_living_worker_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path, GOOD + "\n@app.task\ndef a():\n    pass\n")
    facts = Facts(Workbench(load(start=tmp_path, environ={"PATH": "/nowhere"})))
    monkeypatch.setattr(Facts, "started", True)
    facts.known["conf"] = {"celery@1f2e": {"CELERY_TASK_ACKS_LATE": False, "INSTALLED_APPS": [], "worker_pool": "solo"}}
    found = {one.name: (one.message, one.place) for one in apps.celery(facts)}
    assert ("tasks are acknowledged before they run: a killed worker loses them", "shop.py:4") == found["acks-early"]
    assert "asked of its worker" in found["celery"][0]


class Broker:
    """Has these messages waiting."""

    def __init__(self, **waiting: int) -> None:
        self._waiting = waiting

    def queues(self, _: object) -> list[QueueDepth]:
        return [QueueDepth(name, number, 0) for name, number in self._waiting.items()]


def live(root: Path, monkeypatch: pytest.MonkeyPatch, consumers: list[Consumer], **waiting: int) -> list[str]:
    """What is said of the workers that answer."""
    shop(root, GOOD + "\n@app.task\ndef resize():\n    pass\n")
    workbench = Workbench(load(start=root, environ={"PATH": "/nowhere"}))
    monkeypatch.setattr(Workbench, "broker", Broker(**waiting))
    facts = Facts(workbench)
    facts.known["all_replicas"] = [Replica("jobs", "jobs-1", "running", hostname="1f2e")]
    facts.known["consumers"] = consumers
    return [f"{one.status}: {one.message}" for one in workers.tasks(facts)]


def test_a_worker_that_knows_its_tasks_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [Consumer("celery@1f2e", ("celery",), ("shop.resize",))]
    assert ["ok: 1 worker answers, for celery"] == live(tmp_path, monkeypatch, good, celery=3)


def test_messages_that_nobody_consumes_and_tasks_that_a_worker_does_not_know_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [Consumer("celery@1f2e", ("celery",), ("shop.other",))]
    assert [
        "problem: 12 messages wait in 'slow', and no worker consumes it",
        "problem: celery@1f2e consumes 'celery' and does not know shop.resize: it discards what it does not know",
    ] == live(tmp_path, monkeypatch, old, celery=3, slow=12)


def test_a_worker_that_runs_and_does_not_answer_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ["warning: jobs runs, and no worker answers"] == live(tmp_path, monkeypatch, [])


def test_a_file_that_compose_cannot_read_is_said_once_and_under_its_name(tmp_path: Path, doctor: Any) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: [")
    found = doctor()
    assert ["compose file"] == [name for name, said in found.items() if any("not YAML" in one for one in said)]


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("sh -c 'sleep 1 && celery -A shop worker'", "docker-compose.yml: command of jobs"),
        ("./start.sh", "start.sh:3"),
        ("sh -c 'sleep 1 && exec celery -A shop worker'", ""),
        ("celery -A shop worker", ""),
    ],
)
def test_a_shell_before_celery_hears_no_stop(tmp_path: Path, doctor: Any, command: str, place: str) -> None:
    shop(tmp_path, GOOD, COMPOSE.replace("celery -A shop worker", command))
    (tmp_path / "Dockerfile").write_text("FROM python:3.12\nWORKDIR /app\nCOPY . .\n")
    (tmp_path / "start.sh").write_text("#!/bin/sh\nset -e\ncelery -A shop worker\n")
    found = doctor().get("stop-signal", [])
    assert bool(place) == bool(found)
    assert all(one.startswith(place) for one in found), found
