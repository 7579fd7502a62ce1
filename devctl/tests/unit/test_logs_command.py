from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.cli import options
from devctl.clock import FakeClock
from devctl.logs import own
from devctl.settings import Settings
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import Mount, Service, Stack

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/logs.schema.json").read_text())


class Bench:
    """The workbench, with a runtime in memory."""

    runtime_choice = ("fake", "a test")

    def __init__(self, behaviours: dict[str, Behaviour], folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        services = {name: Service(name) for name in ("redis", "worker")}
        self.stack = Stack("x", services, "redis", ("worker",), {"example-worker": "worker"}, "shop")
        self.runtime = FakeRuntime(self.stack, behaviours, FakeClock(time.time()))  # today's lines say no date


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRuntime:
    started = json.dumps({"event": "task.started", "level": "info", "task_id": "0190b3c2-1"})
    bench = Bench(
        {"redis": Behaviour(logs=("Ready",)), "worker": Behaviour(logs=(started, "ERROR it broke"))}, tmp_path
    )
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    bench.runtime.start("redis", "worker")
    return bench.runtime


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[str], str]:
    assert code == main(["logs", *arguments])
    out, err = capsys.readouterr()
    return [line.split("  ", 1)[-1] for line in out.splitlines()], err


def test_all_services_are_shown_and_the_runtime_is_said_on_stderr(
    stack: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = shown(capsys)
    assert ["redis   Ready", "worker  info  task.started task_id=0190b3c2-1", "worker  ERROR it broke"] == out
    assert "runtime  fake (a test)\n" == err


def test_named_services_and_aliases_only(stack: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    assert ["redis  Ready"] == shown(capsys, "redis")[0]
    assert 2 == len(shown(capsys, "example-worker")[0])


def test_filters_and_the_tail_work_together(stack: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    assert ["worker  ERROR it broke"] == shown(capsys, "--level", "error")[0]
    assert ["worker  info  task.started task_id=0190b3c2-1"] == shown(capsys, "--id", "0190b3c2-1")[0]
    assert ["redis   Ready"] == shown(capsys, "--grep", "^Rea")[0]
    assert ["worker  ERROR it broke"] == shown(capsys, "--tail", "1")[0]


def test_what_devctl_did_stands_among_what_the_services_say(
    stack: FakeRuntime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tmp_path, tmp_path / "docker-compose.yml", "auto", "", {})
    own.note(settings, "task.replayed", [{"task_id": "0190b3c2-1"}, {"task_id": "another"}])
    expected = ["devctl  info  task.replayed task_id=0190b3c2-1", "worker  info  task.started task_id=0190b3c2-1"]
    assert expected == sorted(shown(capsys, "--id", "0190b3c2-1")[0])
    assert 5 == len(shown(capsys)[0])
    assert 2 == len(shown(capsys, "worker")[0]), "who names services wants those"


def test_json_is_one_document_a_line_that_fits_its_schema(
    stack: FakeRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["logs", "--json"])
    out, err = capsys.readouterr()
    documents = [json.loads(line) for line in out.splitlines()]
    for document in documents:
        jsonschema.validate(document, SCHEMA)
    assert [("redis", None), ("worker", "info"), ("worker", "error")] == [(d["service"], d["level"]) for d in documents]
    assert "" == err


@pytest.mark.parametrize(
    "arguments",
    [["--grep", "("], ["--level", "loud"], ["--since", "soon"], ["nobody"], ["--tail", "-1"], ["--tail", "some"]],
)
def test_a_wrong_option_is_usage(stack: FakeRuntime, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    out, err = shown(capsys, *arguments, code=2)
    assert [] == out
    assert "→" in err
    assert 2 == main(["logs", "--json", *arguments])
    assert "devctl.error/1" == json.loads(capsys.readouterr().out)["schema"]


def test_nothing_to_show_says_what_may_bring_something(stack: FakeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    assert "→ devctl logs" in shown(capsys, "--grep", "never")[1]
    stack.stop()
    assert "→ devctl up" in shown(capsys)[1]


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["logs", "--help"])
    assert "devctl logs --id 0190b3c2" in capsys.readouterr().out


def test_services_and_aliases_are_completed_also_after_the_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "docker-compose.yml"
    written = (
        "x-devctl: {broker: redis, aliases: {example-worker: worker}}\nservices: {redis: {image: r}, worker: {image: w}"
    )
    file.write_text(written + "}\n")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # read, then remembered
        assert ["worker"] == options.complete_services("w")
        assert ["redis", "worker", "example-worker"] == options.complete_services("")
    file.write_text(written + ", web: {image: w}}\n")
    assert ["worker", "web"] == options.complete_services("w")
    file.write_text("services: [")
    assert [] == options.complete_services("w")


def test_the_file_that_a_worker_logs_to_is_read_where_it_lies_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench({"redis": Behaviour(logs=("Ready",)), "worker": Behaviour()}, tmp_path)
    mounted = replace(bench.stack.services["worker"], mounts=(Mount("bind", str(tmp_path), "/app"),))
    written = {"worker": "/app/celery.log", "redis": "/var/log/redis.log"}
    bench.stack = replace(bench.stack, services={**bench.stack.services, "worker": mounted}, logfiles=written)
    (tmp_path / "celery.log").write_text("[2026-11-23 10:15:02,123: INFO/MainProcess] Task a.b[0190b3c2-1] received\n")
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    bench.runtime.start("redis", "worker")
    out, err = shown(capsys, "--id", "0190b3c2-1")
    assert ["[2026-11-23 10:15:02,123: INFO/MainProcess] Task a.b[0190b3c2-1] received"] == [
        line.partition("  ")[2] for line in out if "Task" in line
    ]
    assert "redis logs to /var/log/redis.log, in its container" in err
    assert "celery.log" not in err
