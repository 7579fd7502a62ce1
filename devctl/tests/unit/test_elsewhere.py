"""Commands that are this project's own say so in somebody else's repository, and what to use instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devctl.__main__ import main


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docker-compose.yml").write_text(
        "services:\n  redis: {image: redis:8}\n  jobs: {image: shop, command: celery -A shop worker}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_demo_is_the_examples_own(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["demo"])
    said = capsys.readouterr().err
    assert "devctl demo plays devctl's own example, and this repository is another" in said
    assert "devctl send-task NAME --wait" in said
    assert "devctl new project DIR" in said
    assert ["docker-compose.yml"] == [path.name for path in elsewhere.iterdir()]


@pytest.mark.parametrize(
    "words",
    [["task", "a", "--queue", "b"], ["service", "a", "--http"], ["endpoint", "/a", "--in", "b", "--publishes", "c"]],
)
def test_new_writes_contracts_and_says_where_there_are_none(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert 1 == main(["new", *words])
    said = capsys.readouterr().err
    assert "there are no contracts of celeriac here" in said
    assert "devctl new project DIR" in said
    assert ["docker-compose.yml"] == [path.name for path in elsewhere.iterdir()]


@pytest.mark.parametrize("command", [["bench"], ["chaos", "--queue", "celery"]])
def test_nothing_is_measured_or_broken_on_a_broker_that_is_no_service_of_the_stack(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    file = elsewhere / "docker-compose.yml"
    environment = ", environment: {CELERY_BROKER_URL: 'redis://:s3cret@queue.example.org:6379/0'}}"
    file.write_text(file.read_text().replace("shop worker}", "shop worker" + environment))
    assert 1 == main([*command, "--task", "shop.add", "--args", "[1]", "--yes"])
    said = capsys.readouterr().err
    assert "the broker is queue.example.org:6379, outside this stack: nothing is measured or broken there" in said
    assert "s3cret" not in said


FRESH = {
    "docker-compose.yml": """\
services:
  redis: {image: redis:8}
  jobs: {build: ., command: celery -A shop worker, env_file: .env, environment: {KNOWN: known}}
""",
    "Dockerfile": "FROM python:3.11\nWORKDIR /app\nCOPY . .\n",
    ".env.example": "QUEUE=fast\n",
    "shop.py": """\
import os
from celery import Celery
app = Celery("shop")
@app.task(queue=os.environ.get("QUEUE", "slow"))
def add(x, y): ...
@app.task(queue=os.environ.get("KNOWN", "slow"))
def sub(x, y): ...
""",
}


def test_a_clone_without_its_env_file_is_read_as_far_as_it_goes_and_started_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FRESH.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)

    assert 0 == main(["tasks", "--runtime", "local", "--json"])
    queues = {one["name"]: one["queue"] for one in json.loads(capsys.readouterr().out)["tasks"]}
    assert {"shop.add": "", "shop.sub": "known"} == queues, "the missing file may set QUEUE, and not KNOWN"

    main(["doctor", "--runtime", "local", "--json"])
    found = [(one["message"], one["fix"]) for one in json.loads(capsys.readouterr().out)["checks"]]
    reads = ".env is not there, and jobs reads its variables from it"
    assert (f"{reads}: nobody can start it", "cp .env.example .env") in found

    assert 1 == main(["up", "jobs", "--runtime", "local"])
    said = capsys.readouterr().err
    assert reads in said
    assert "→ cp .env.example .env" in said
    assert FRESH.keys() == {path.name for path in tmp_path.iterdir()} - {".devctl"}
