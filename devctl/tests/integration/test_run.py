"""devctl run on a terminal: a worker in place of its replica, a breakpoint in it, and the replica back afterwards."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from celery import Celery

from celeriac import install
from devctl import settings
from devctl.errors import DevctlError
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.start import start

pytestmark = pytest.mark.integration

COMPOSE = """\
name: debugged
x-devctl: {broker: redis, workers: [worker], contracts: ""}
services:
  redis:
    image: redis:8-alpine
    command: [redis-server, --save, ""]
    ports: ["127.0.0.1:0:6379"]
    healthcheck: {test: [CMD, redis-cli, ping]}
  worker:
    build: ./worker
    command: [python, -m, celery, -A, jobs, worker, -P, threads, -c, "2", --loglevel, info, --without-gossip]
    environment: {URL: "redis://redis:6379/0", WHO: "${WHO:-}"}
    stop_grace_period: 5s
    depends_on: {redis: {condition: service_healthy}}
"""
JOBS = """\
import os
from celery import Celery
from celeriac import install

app = Celery("jobs", broker=os.environ["URL"], backend=os.environ["URL"])
install(app)

@app.task(name="jobs.stop_here", time_limit=1)
def stop_here(number):
    answer = number + 1
    breakpoint()
    return answer
"""
PATIENCE_SECONDS = 40


class Checkout:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "worker").mkdir(parents=True)
        (root / "docker-compose.yml").write_text(COMPOSE)
        (root / "worker/jobs.py").write_text(JOBS)
        self.runtime = LocalRuntime.open(settings.load(start=root, runtime="local"))

    def publish(self, number: int) -> str:
        host, port = self.runtime.address("redis", 6379)
        url = f"redis://{host}:{port}/0"
        app = Celery("publisher", broker=url, backend=url, set_as_current=False)
        install(app)
        return str(app.send_task("jobs.stop_here", [number]).id)

    def logged(self, text: str) -> bool:
        with self.runtime.logs(["worker"]) as lines:
            return any(text in line.text for line in lines)

    def devctl(self, *arguments: str) -> pexpect.spawn:
        command = ["-m", "devctl", *arguments, "--runtime", "local"]
        return pexpect.spawn(
            sys.executable,
            command,
            cwd=str(self.root),
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            dimensions=(24, 200),
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    try:
        redis.binary(os.environ.get("PATH", os.defpath))
    except DevctlError as missing:
        pytest.skip(missing.problem)
    checkout = Checkout(tmp_path / "checkout")
    yield checkout
    checkout.runtime.stop(volumes=True)


def eventually(true: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():  # type: ignore[operator]  # each caller gives a function
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_breakpoint_opens_a_prompt_no_limit_ends_it_and_ctrl_c_gives_the_replica_back(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None
    (before,) = [one for one in checkout.runtime.status() if one.service == "worker"]

    terminal = checkout.devctl("run", "worker")
    terminal.expect("Ctrl-C ends it and gives its replica back")
    terminal.expect("ready")
    assert [] == [one for one in checkout.runtime.status() if one.service == "worker"]
    task_id = checkout.publish(41)
    terminal.expect_exact("(Pdb) ")
    time.sleep(2.5)  # its time limit is one second
    terminal.sendline("p answer")
    terminal.expect_exact("42")
    terminal.expect_exact("(Pdb) ")
    terminal.sendline("q")
    terminal.expect_exact("the task goes on")
    terminal.expect(f"{task_id}.*succeeded")
    terminal.sendintr()
    terminal.expect("run      worker ended with 0; its replica started again")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert 0 == terminal.exitstatus
    (after,) = [one for one in checkout.runtime.status() if one.service == "worker"]
    assert "running" == after.state
    assert before.started_at != after.started_at


def test_a_breakpoint_in_a_replica_is_one_line_in_its_log_and_the_task_goes_on(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None
    eventually(lambda: checkout.logged("ready"))

    task_id = checkout.publish(1)

    eventually(lambda: checkout.logged(f"{task_id}] succeeded"))
    assert checkout.logged("breakpoint.passed")
    assert checkout.logged("devctl run SERVICE")


def test_a_devctl_that_is_killed_gives_the_replica_back_all_the_same(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None
    terminal = checkout.devctl("run", "worker")
    terminal.expect("ready")

    os.kill(terminal.pid, 9)

    eventually(lambda: [one for one in checkout.runtime.status() if one.service == "worker" and one.state == "running"])
    terminal.close(force=True)


def test_a_service_that_does_not_run_is_run_and_leaves_nothing(checkout: Checkout) -> None:
    terminal = checkout.devctl("run", "worker")
    terminal.expect("ready")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)

    assert ["redis"] == [one.service for one in checkout.runtime.status()], "what it depends on was started, and stays"


def test_debugpy_that_is_not_there_is_an_error_with_the_command_that_installs_it(checkout: Checkout) -> None:
    terminal = checkout.devctl("run", "worker", "--debugpy", "5678")
    terminal.expect("the environment of worker has no debugpy")
    terminal.expect("-m pip install debugpy")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert 1 == terminal.exitstatus
