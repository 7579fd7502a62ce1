"""devctl tasks and send-task where tasks are known by their signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.cli import options
from devctl.cli import tasks as command
from devctl.contracts.signatures import Signatures
from devctl.discovery.model import Answer, FoundTask, Parameter
from devctl.settings import Settings
from devctl.stack.fake import FakeRuntime
from devctl.stack.model import Service, Stack

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/tasks.schema.json").read_text())
RESIZE = FoundTask(
    "images.tasks.resize",
    Answer("images", "settings.py:4 task_routes"),
    (
        Parameter("path", "usual", "str", None, {"type": "string"}),
        Parameter("width", "usual", "int", "200", {"type": "integer"}),
    ),
    file="images/tasks.py",
    line=7,
    docstring="Resize one image.",
    services=("worker",),
)
SWEEP = FoundTask("images.tasks.sweep", Answer(None, "a function decides"), (), ignore_result=True)


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        services = {"redis": Service("redis"), "worker": Service("worker")}
        self.stack = Stack("x", services, "redis", ("worker",), {}, "")
        self.runtime = FakeRuntime(self.stack)
        self.tasks = Signatures([RESIZE, SWEEP])
        self.owners = {"images": "worker"}
        self.broker = MemoryBroker()

    def work(self, **bodies: Callable[..., Any]) -> None:
        named = {f"images.tasks.{name}": body for name, body in bodies.items()}
        self.broker.add_worker("worker@host", queues=["images"], bodies=named)


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    monkeypatch.setattr("devctl.stack.identity.last_runtime", lambda _: "local")
    return bench


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert code == main([*arguments])
    said = capsys.readouterr()
    return said.out, said.err


def test_the_table_tells_task_queue_who_serves_what_it_takes_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(capsys, "tasks")
    lines = [line.split() for line in out.splitlines()]
    assert ["TASK", "QUEUE", "SERVED", "BY", "TAKES", "WHERE"] == lines[0]
    assert ["images.tasks.resize", "images", "worker", "path,", "width=200", "images/tasks.py:7"] == lines[1]
    assert ["images.tasks.sweep", "not", "sure", "-"] == lines[2][:4]
    assert "queue not sure of 1: a function decides" in err


def test_one_task_tells_all_of_it_and_a_call_that_can_be_pasted(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.work(resize=lambda **_: 1)
    out, _ = shown(capsys, "tasks", "resize")
    assert "queue    images (settings.py:4 task_routes)" in out
    assert "served   worker, worker@host (alive)" in out
    assert "about    Resize one image." in out
    assert "width  int  default 200" in out
    pasted = out.splitlines()[-1].removeprefix("devctl ").split()
    assert "send-task" == pasted[0]
    assert 0 == main(pasted)


def test_what_only_a_worker_knows_is_listed_too(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(hidden=lambda: 1)
    out, _ = shown(capsys, "tasks")
    assert ["images.tasks.hidden", "not", "sure", "alive", "?", "only", "registered"] == out.splitlines()[-1].split()


def test_json_is_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shown(capsys, "tasks", "--json")[0])
    jsonschema.validate(document, SCHEMA)
    resize = document["tasks"][0]
    jsonschema.validate(resize["example"], resize["payload"])
    assert ("images/tasks.py", 7, ["worker"]) == (resize["file"], resize["line"], resize["services"])


def test_nothing_found_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.tasks = Signatures([])
    assert "no task of Celery was found" in shown(capsys, "tasks", code=1)[1]


def test_a_task_is_sent_by_the_names_of_its_parameters(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(resize=lambda path, width=0: f"{path}@{width}")
    out, _ = shown(capsys, "send-task", "resize", "--set", "path=a.png", "--set", "width=64", "--wait")
    assert "queue images" in out
    assert '"a.png@64"' in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resize"], "path   –  is missing"),
        (["resize", "--args", '["a", "b"]'], 'width  "b"  must be a whole number'),
        (["resize", "--args", "[1, 2, 3]"], "it takes 2 arguments by position: path, width"),
        (["resize", "--set", "widht=1"], "did you mean width?"),
        (["resise"], "did you mean resize?"),
        (["sweep", "--queue", "q", "--wait"], "images.tasks.sweep stores no result to wait for"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_sent(
    bench: Bench, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = shown(capsys, "send-task", *arguments, code=2)
    assert " ".join(said.split()) in " ".join(err.split())
    assert 0 == sum(one.waiting for one in bench.broker.queues(["images", "q"]))


def test_a_queue_that_is_not_sure_is_the_one_that_its_workers_consume(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "which queue does images.tasks.sweep go to? not sure" in shown(capsys, "send-task", "sweep", code=2)[1]
    bench.work(sweep=lambda: 1)
    assert "queue images" in shown(capsys, "send-task", "sweep")[0]


def test_no_result_backend_is_said_before_anything_is_sent(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.why_no_results = "the app has no result backend"
    _, err = shown(capsys, "send-task", "resize", "--set", "path=a", "--wait", code=2)
    assert "no result to wait for: the app has no result backend" in err
    assert 0 == bench.broker.queues(["images"])[0].waiting


def test_workers_are_not_asked_where_the_stack_was_never_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.work(resize=lambda: 1)
    monkeypatch.setattr("devctl.stack.identity.last_runtime", lambda _: "")
    assert () == command.living(bench)
