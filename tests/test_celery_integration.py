"""tools/celery_integration: what it says of runs, what it takes from a checkout, and a run over tests of our own."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "celery_integration"
SHARED = ("celery", "kombu", "redis", "hiredis", "pydantic", "msgspec")

CONFTEST = """
import json, os, pytest

@pytest.fixture(scope="session")
def celery_config():
    found = {"broker_url": os.environ["TEST_BROKER"], "result_backend": os.environ["TEST_BACKEND"]}
    return {**found, **json.load(open("integration-tests-config.json"))}

@pytest.fixture(scope="session")
def celery_includes():
    return {"t.integration.tasks"}
"""
TASKS = """
import os
from celery import shared_task
from redis import Redis

def get_redis_connection():
    raise AssertionError("the tool gives a client that waits")

@shared_task
def add(x, y):
    return x + y
"""
TESTS = """
import os, time, pytest
from . import tasks

def test_adds(celery_session_app, celery_session_worker):
    tasks.get_redis_connection().set("left", "behind")
    assert "Results" == type(celery_session_app.backend).__name__
    assert "TaskPool" == celery_session_worker.pool_cls.__name__
    assert 3 == tasks.add.delay(1, 2).get(timeout=20)

def test_fails():
    assert os.environ["TEST_BROKER"] == "as nobody says"

def test_fails_the_first_time():
    if not os.path.exists(os.environ["ONCE"]):
        open(os.environ["ONCE"], "w").close()
        raise AssertionError("the first time")

def test_finds_an_empty_redis():
    assert tasks.get_redis_connection().get("left") is None

def test_ends_its_process():
    os._exit(7)

def test_hangs():
    time.sleep(600)

def test_after_the_rest():
    pass
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"celery_integration_{name}", TOOL / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


runs = load("runs")


def run(name: str, **outcomes: str) -> object:
    found = {f"t/integration/test_x.py::{test}": runs.Found(outcome) for test, outcome in outcomes.items()}
    return runs.Run(name, found)


def test_what_stock_passes_and_ours_does_not_is_an_error() -> None:
    stock = run("stock", one="passed", two="failed")
    assert 0 == runs.report([stock, run("threads", one="passed", two="hung")], {})
    assert 1 == runs.report([stock, run("threads", one="hung", two="passed")], {})
    assert 1 == runs.report([stock, run("threads", one="not run", two="passed")], {})


def test_a_known_difference_is_none_and_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    both = [run("stock", one="passed"), run("threads", one="failed")]
    assert 0 == runs.report(both, {"test_x.py::one": "it is asked of a queue"})
    assert "it is asked of a queue" in capsys.readouterr().out
    assert 1 == runs.report(both, {"test_x.py::other": "it is asked of a queue"})


def test_a_known_difference_that_is_none_any_more_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    both = [run("stock", one="passed"), run("threads", one="passed")]
    assert 0 == runs.report(both, {"test_x.py::one": "it is asked of a queue"})
    assert "test_x.py::one: known, and passes" in capsys.readouterr().out


def test_without_stock_nothing_is_an_error() -> None:
    assert 0 == runs.report([run("threads", one="failed")], {})


def test_the_tests_meet_the_versions_that_we_have() -> None:
    def pins(file: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", file.read_text(), re.MULTILINE))

    ours, theirs = pins(ROOT / "dev.lock"), pins(TOOL / "requirements.lock")
    assert {name: ours[name] for name in SHARED} == {name: theirs[name] for name in SHARED}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Of tests of our own, beside a Celery that nobody is to import."""
    folder = tmp_path / "checkout"
    tests = folder / "t" / "integration"
    tests.mkdir(parents=True)
    (folder / "celery").mkdir()
    (folder / "celery" / "__init__.py").write_text("raise AssertionError('the checkout is imported')")
    for file in (folder / "t" / "__init__.py", tests / "__init__.py"):
        file.touch()
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "tasks.py").write_text(TASKS)
    (tests / "test_x.py").write_text(TESTS)
    return folder


@pytest.mark.integration
def test_a_run_survives_tests_that_fail_that_hang_and_that_end_their_process(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCE", str(tmp_path / "once"))
    told = tmp_path / "found.json"
    asked = [sys.executable, str(TOOL), str(checkout), "--pool", "threads", "--seconds", "5", "--json", str(told)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=110, check=False)
    if "No solution found" in done.stderr or "error: Failed to" in done.stderr:
        pytest.skip(f"its environment cannot be made here: {done.stderr[-300:]}")
    assert 0 == done.returncode, done.stderr[-2000:]
    found = json.loads(told.read_text())["threads"]
    assert {
        "test_adds": "passed",
        "test_fails": "failed",
        "test_fails_the_first_time": "passed",
        "test_finds_an_empty_redis": "passed",
        "test_ends_its_process": "died",
        "test_hangs": "hung",
        "test_after_the_rest": "passed",
    } == {node.rpartition("::")[2]: one["outcome"] for node, one in found.items()}
    assert "the first time" in found["t/integration/test_x.py::test_fails_the_first_time"]["unsteady"]
    assert "test_hangs: hung: longer than 5 s" in done.stdout
    assert "test_ends_its_process: died: its process ended with 7" in done.stdout


def test_a_folder_that_is_no_checkout_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert [f"celery_integration: no t/integration in {tmp_path}: give the folder of a checkout"] == (
        done.stderr.splitlines()
    )
