"""devctl from its wheel, in repositories that know nothing of it, on both runtimes: what their developers type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.wheels import bare

REPOSITORIES = Path(__file__).parents[1] / "devctl" / "tests" / "repositories"
STEP_SECONDS = 240

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@dataclass
class Checkout:
    """A copy of one of the repositories, and the devctl of the wheel in it."""

    root: Path
    devctl: Path
    variables: dict[str, str]
    stack: str

    def run(self, *words: str, rc: int | None = 0) -> subprocess.CompletedProcess[str]:
        """One devctl command; what it prints is 80 columns wide. rc None: any exit code but 70."""
        done = subprocess.run(
            [self.devctl, *words],
            cwd=self.root,
            env=bare() | {"COLUMNS": "80"} | self.variables,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        said = f"devctl {' '.join(words)} → {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, said
        assert done.returncode != 70 if rc is None else rc == done.returncode, said
        return done

    @property
    def of(self) -> tuple[str, str]:
        return "--stack", self.stack

    def json(self, *words: str, rc: int | None = 0) -> Any:
        return json.loads(self.run(*words, "--json", rc=rc).stdout)

    def up(self, *services: str) -> subprocess.CompletedProcess[str]:
        """Start services in a stack of their own, beside whatever this machine runs."""
        return self.run("up", *services, "--isolated", "--stack", self.stack, "--timeout", "120")

    def running(self) -> dict[str, int]:
        """Service → replicas that run."""
        services = self.json("ps", "--stack", self.stack)["services"]
        return {one["name"]: one["replicas"] for one in services if one["state"] == "running"}

    def changed(self) -> list[str]:
        """What git sees in the checkout that was not there before."""
        done = subprocess.run(
            ["git", "status", "--porcelain"], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()


@pytest.fixture
def checkout(request: pytest.FixtureRequest, installed: Path, tmp_path: Path) -> Iterator[Checkout]:
    name, runtime = request.param
    root = tmp_path / name
    shutil.copytree(REPOSITORIES / name, root)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    if name == "rabbitmq" and runtime == "local" and not shutil.which("rabbitmq-server"):
        pytest.skip("no rabbitmq-server on PATH")
    variables = {"DEVCTL_RUNTIME": runtime, "DEVCTL_LOCKS": os.environ["DEVCTL_LOCKS"]}
    if name == "rabbitmq" and runtime == "compose":
        variables["RABBITMQ_IMAGE"] = _rabbitmq()
    mine = Checkout(root, installed / "venv" / "bin" / "devctl", variables, f"t{os.getpid()}")
    yield mine
    mine.run("down", *mine.of, rc=None)


def _rabbitmq() -> str:
    name = "devctl-test-rabbitmq"
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode:
        with (REPOSITORIES / "rabbitmq.Dockerfile").open() as recipe:
            done = subprocess.run(
                ["docker", "build", "-q", "-t", name, "-"], stdin=recipe, capture_output=True, check=False
            )
        if done.returncode:
            pytest.skip("no image of RabbitMQ can be built here")
    return name


def on_both(name: str) -> pytest.MarkDecorator:
    """Run it in this repository on both runtimes."""
    cases = [
        pytest.param((name, "local"), id="local"),
        pytest.param((name, "compose"), id="compose", marks=pytest.mark.containers),
    ]
    return pytest.mark.parametrize("checkout", cases, indirect=True)


def sent(checkout: Checkout, *words: str) -> Any:
    """The result of a task that was sent."""
    (one,) = checkout.json("send-task", *words, "--wait", *checkout.of)["tasks"]
    assert "succeeded" == one["state"], one
    return one["result"]


@on_both("fastapi")
def test_a_worker_of_fastapi_is_started_alone_asked_looked_into_and_measured(checkout: Checkout) -> None:
    tasks = {one["name"]: one for one in checkout.json("tasks")["tasks"]}
    assert {"create_report", "worker.add", "worker.fetch"} == tasks.keys()
    assert "celery" == tasks["worker.add"]["queue"]

    checkout.up("worker")
    running = checkout.running()
    assert {"redis": 1, "web": 1, "worker": 1} == running, "the file says that it needs these"

    assert 5 == sent(checkout, "worker.add", "--args", "[2, 3]")
    assert 7 == sent(checkout, "worker.add", "--set", "x=3", "--set", "y=4")
    assert {"title": "Report", "pages": 2} == sent(checkout, "create_report", "--set", "pages=2")
    wrong = checkout.run("send-task", "worker.add", "--set", "x=three", "--set", "y=4", *checkout.of, rc=2)
    assert "three" in wrong.stderr
    assert "worker.add" in checkout.run("send-task", "worker.ad", "--args", "[1, 2]", *checkout.of, rc=2).stderr
    missing = checkout.run("send-task", "worker.add", "--args", "[1]", *checkout.of, rc=2)
    assert "y" in missing.stderr
    failed = checkout.run("send-task", "worker.fetch", "--args", '["fail:x"]', "--wait", *checkout.of, rc=1)
    assert "OSError" in failed.stdout + failed.stderr

    (queue,) = [one for one in checkout.json("queues", *checkout.of)["queues"] if one["name"] == "celery"]
    assert 0 == queue["waiting"]
    assert queue["consumers"]
    checkout.run("dead-letters", "list", *checkout.of)

    bench = ("bench", "--task", "worker.add", "--args", "[1, 2]", "--repeats", "3", "--tasks", "300", "--yes")
    measured = checkout.json(*bench, "--workers", "1", "--warmup", "0", *checkout.of)
    assert 900 == measured["audit"]["published"] == measured["audit"]["executed"]

    checkout.run("doctor", *checkout.of, rc=None)
    checkout.run("down", *checkout.of)
    assert [] == checkout.changed()


@on_both("django")
def test_a_worker_of_django_behind_its_scripts_is_started_asked_and_stopped(checkout: Checkout) -> None:
    tasks = {one["name"]: one for one in checkout.json("tasks")["tasks"]}
    assert {"mails.tasks.send", "mails.tasks.flush", "reports.render", "reports.tasks.nightly"} == tasks.keys()
    assert {"shop"} == {one["queue"] for one in tasks.values()}

    checkout.up("celeryworker")
    running = checkout.running()
    assert {"redis": 1, "celeryworker": 1} == running

    assert "2 to a@b: Hello" == sent(checkout, "mails.tasks.send", "--set", "to=a@b", "--set", "copies=2")
    assert {"report": 7, "formats": ["pdf"]} == sent(checkout, "reports.render", "--args", "[7]")
    said = checkout.run("send-task", "mails.tasks.flush", "--wait", *checkout.of, rc=2)
    assert "result" in said.stderr, "it keeps none"

    checkout.run("up", "celerybeat", *checkout.of, "--timeout", "120")
    checkout.run("restart", "celeryworker", *checkout.of)
    checkout.run("logs", "celeryworker", *checkout.of, "--tail", "5")
    checkout.run("doctor", *checkout.of, rc=None)
    checkout.run("down", *checkout.of)
    assert [] == checkout.changed()


@on_both("rabbitmq")
def test_workers_behind_rabbitmq_are_started_asked_and_scaled(checkout: Checkout) -> None:
    tasks = {one["name"]: one["queue"] for one in checkout.json("tasks")["tasks"]}
    assert {
        "pipeline.images.resize": "images",
        "pipeline.images.forget": "images",
        "pipeline.thumbnail": "images",
        "pipeline.mail.send": "mail",
        "pipeline.mail.newsletter": "mail.slow",
    } == tasks

    checkout.up("images", "mail")
    assert {"broker": 1, "images": 2, "mail": 1, "results": 1} == checkout.running()

    assert "a@30x30" == sent(checkout, "pipeline.images.resize", "--args", '["a", 30]')
    assert "b@64" == sent(checkout, "pipeline.thumbnail", "--args", '["b"]')
    assert 2 == sent(checkout, "pipeline.mail.newsletter", "--args", '[["a@b", "c@d"]]')

    queues = {one["name"]: one for one in checkout.json("queues", *checkout.of)["queues"]}
    assert {"images", "mail", "mail.slow"} <= queues.keys()
    checkout.run("scale", "images=1", *checkout.of)
    assert "to c: b" == sent(checkout, "pipeline.mail.send", "--args", '["c", "b"]')
    checkout.run("down", *checkout.of)
    assert [] == checkout.changed()
