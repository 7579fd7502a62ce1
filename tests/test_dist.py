"""The wheels of `make dist`: in an empty environment, without this checkout, celeriac runs a task and devctl talks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.wheels import WHEELS, bare, build, found

from devctl.new import parts

ROOT = Path(__file__).parents[1]
PACKED = "devctl/new/project_files/"  # what `devctl new project` writes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

SERVICE = """\
import sys

from celeriac import Contract, Outcome, RetryPolicy, TaskPayload, TaskResult, TransientError, implements, serve

failed = []


class Add(TaskPayload):
    x: int
    y: int


class Sum(TaskResult):
    total: int


add = Contract("sums.add", "sums", Add, Sum, retries=RetryPolicy(limit=3, cap_seconds=0.1))


@implements(add)
def handle_add(numbers: Add, outcome: Outcome) -> Sum:
    if not failed:
        failed.append(1)
        raise TransientError("once")
    outcome.effect("INCRBY", "sums", 1)
    return Sum(total=numbers.x + numbers.y)


if __name__ == "__main__":
    sys.exit(serve("sums", owns=[handle_add]))
"""
PLAIN = """\
import os

import celeriac
from celery import Celery

app = Celery("plain", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
celeriac.install(app)


@app.task
def add(x, y):
    return x + y
"""
CALLER = """\
import json, celeriac
from sums import Add, add

print(json.dumps([celeriac.__file__, add.delay(Add(source_service="caller", x=2, y=3)).get(20).total]))
"""


@pytest.fixture(scope="module")
def place(installed: Path) -> Path:
    """The wheels' environment, with three small programs beside it."""
    (installed / "sums.py").write_text(SERVICE)
    (installed / "caller.py").write_text(CALLER)
    (installed / "plain.py").write_text(PLAIN)
    return installed


def run(place: Path, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of that environment, in that folder, with nothing of this checkout around it."""
    return subprocess.run(
        [place / "venv" / "bin" / program, *arguments],
        cwd=place,
        env=bare() | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", WHEELS)
def test_a_wheel_has_all_that_the_package_needs_and_nothing_of_this_machine(name: str, wheels: dict[str, Path]) -> None:
    source = ROOT / name / "src"
    wanted = {str(file.relative_to(source)) for file in (source / name).rglob("*") if file.is_file()}
    with zipfile.ZipFile(wheels[name]) as wheel:
        packed = {one for one in wheel.namelist() if ".dist-info/" not in one and PACKED not in one}
        assert {one for one in wanted if "__pycache__" not in one} == packed
        assert f"{name}/py.typed" in packed
        (metadata,) = (wheel.read(one).decode() for one in wheel.namelist() if one.endswith("/METADATA"))
        assert str(ROOT) not in metadata
        assert (ROOT / "LICENSE").read_bytes() in [
            wheel.read(one) for one in wheel.namelist() if one.endswith("/licenses/LICENSE")
        ]
    assert "common-tasks" not in metadata


def test_the_same_source_gives_the_same_wheels(wheels: dict[str, Path], tmp_path: Path) -> None:
    build(tmp_path)
    again = found(tmp_path)
    assert {name: one.read_bytes() for name, one in wheels.items()} == {
        name: one.read_bytes() for name, one in again.items()
    }


@contextmanager
def running(place: Path, program: str, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with (place / "log").open("wb") as log:
        command = [place / "venv" / "bin" / program, *arguments]
        process = subprocess.Popen(command, cwd=place, env=bare() | variables, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_service_of_celeriac_alone_runs_a_task_tries_it_again_and_stops(place: Path, redis_url: str) -> None:
    with running(place, "python", "sums.py", CELERY_BROKER_URL=redis_url) as service:
        asked = run(place, "python", "caller.py", CELERY_BROKER_URL=redis_url)
        assert 0 == asked.returncode, asked.stderr + (place / "log").read_text()
        where, total = json.loads(asked.stdout)
        assert 5 == total
        assert where.startswith(str(place / "venv"))
        service.send_signal(signal.SIGTERM)
        assert 0 == service.wait(20)
    assert "task.retrying" in (place / "log").read_text()


def test_a_plain_celery_app_with_the_one_line_runs_a_task_and_says_that_nothing_is_left(
    place: Path, redis_url: str
) -> None:
    call = "from plain import add; print(add.delay(2, 3).get(timeout=20))"
    with running(place, "celery", "-A", "plain", "worker", BROKER=redis_url) as worker:
        asked = run(place, "python", "-c", call, BROKER=redis_url)
        assert "5\n" == asked.stdout, asked.stderr + (place / "log").read_text()
        worker.send_signal(signal.SIGTERM)
        assert 0 == worker.wait(20)
    checked = run(place, "celeriac", "check", "-A", "plain", BROKER=redis_url)
    assert 0 == checked.returncode, checked.stdout + checked.stderr
    assert "usage: celeriac" in run(place, "celeriac", "--help").stdout


def test_devctl_says_what_it_is_and_what_it_misses(place: Path) -> None:
    told = run(place, "devctl", "--help").stdout
    assert "Usage: devctl" in told
    assert "  chaos " in told, "its entry point is in the wheel"
    for command in ("ps", "doctor"):
        asked = run(place, "devctl", command)
        assert 1 == asked.returncode
        assert "no Compose file in" in asked.stderr
        assert "Traceback" not in asked.stderr


def test_devctl_without_a_checkout_makes_a_project_of_the_files_that_it_was_built_with(
    place: Path, tmp_path: Path
) -> None:
    made = run(place, "devctl", "new", "project", str(tmp_path / "shop"), "--json")
    assert 0 == made.returncode, made.stderr
    expected = set(parts.files(ROOT))
    assert expected == {Path(one["path"]) for one in json.loads(made.stdout)["files"]}
    for file in expected - {Path("README.md"), Path("Makefile")}:  # without what is about this repository alone
        assert (ROOT / file).read_bytes() == (tmp_path / "shop" / file).read_bytes()
    assert os.access(tmp_path / "shop/tools/setup", os.X_OK)


def test_devctl_reads_a_compose_file_without_this_repository(place: Path, tmp_path: Path) -> None:
    compose = 'x-devctl: {broker: redis, workers: [worker], contracts: sums}\nservices:\n  redis: {image: "redis:8"}\n'
    (tmp_path / "docker-compose.yml").write_text(compose + '  worker: {image: "worker:dev", command: "true"}\n')
    (tmp_path / "sums.py").write_text(
        SERVICE.replace("add = Contract(", "add, = CONTRACTS = (Contract(").replace(
            "cap_seconds=0.1))", "cap_seconds=0.1)),)"
        )
    )
    asked = subprocess.run(
        [place / "venv" / "bin" / "devctl", "tasks", "--json"],
        cwd=tmp_path,
        env=bare() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == asked.returncode, asked.stderr
    tasks: list[dict[str, Any]] = json.loads(asked.stdout)["tasks"]
    assert ["sums.add"] == [one["name"] for one in tasks]
