"""A bench on real processes and a real Redis (local runtime): it counts right; whatever ends it, all is put back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import redis

from devctl import settings
from devctl.measurement import lock
from devctl.measurement.lock import alone
from devctl.settings import Settings
from devctl.stack.local import LocalRuntime

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

# Some 40 s of work; published in a moment.
LONG_BENCH = ["--workers", "2", "--task", "wait:20", "--tasks", "4000", "--warmup", "0", "--repeats", "3"]


@dataclass
class Checkout:
    """A folder with the Compose file, as a user has it, and devctl in it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        ports = dict.fromkeys(("REDIS_PORT", "SERVICE1_PORT", "SERVICE2_PORT"), "0")
        mine = {"DEVCTL_RUNTIME": "local", "DEVCTL_LOCKS": str(self.folder)}
        return {**os.environ, **ports, **mine, "COMPOSE_PROJECT_NAME": self.folder.name}

    @property
    def settings(self) -> Settings:
        return settings.load(start=self.folder, environ=self.environment)

    def devctl(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devctl", *arguments],
            cwd=self.folder, env=self.environment | variables, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "devctl", *arguments],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def replicas(self) -> dict[str, int]:
        """What `devctl ps` shows; asked in this process, for it is asked often."""
        return dict(Counter(one.service for one in LocalRuntime.open(self.settings).status()))

    def client(self) -> redis.Redis:
        return redis.Redis(port=LocalRuntime.open(self.settings).address("redis", 6379)[1])

    def processes(self) -> list[str]:
        """Everything that runs with this folder as its stack: supervisor, Redis, workers, guards."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "cwd", "environ"]):
            told = process.info
            mine = str(self.folder) in " ".join([*(told["cmdline"] or []), told["cwd"] or ""])
            named = (told["environ"] or {}).get("COMPOSE_PROJECT_NAME") == self.folder.name
            if (mine or named) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{told['pid']} {told['cmdline']}")
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    folder = tmp_path / f"shop-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    folder.mkdir()
    shutil.copy(ROOT / "docker-compose.yml", folder)
    made = Checkout(folder)
    yield made
    made.devctl("down")


def until(found: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def keys(client: redis.Redis) -> set[bytes]:
    # What a worker that runs keeps in Redis anyway; its mailbox comes and goes with the last one. The records of steps
    # stay, as those of all tasks.
    return {key for key in client.scan_iter() if not key.endswith(b"celery.pidbox") and key != b"celery-life"}


def in_a_run(client: redis.Redis) -> bool:
    return any(client.llen(key) > 20 for key in client.scan_iter("devctl:bench:*:ledger"))


@pytest.mark.parametrize(
    ("task", "tasks"), [("wait:2", 400), pytest.param("process_order", 4000, marks=pytest.mark.examples)]
)
def test_a_bench_counts_every_task_and_leaves_redis_as_it_was(checkout: Checkout, task: str, tasks: int) -> None:
    assert checkout.devctl("up", "worker").returncode == 0
    client = checkout.client()
    client.lpush("orders-of-somebody", "theirs")
    before = keys(client)

    done = checkout.devctl(
        "bench", "--workers", "1,2", "--task", task, "--tasks", str(tasks), "--warmup", "0", "--repeats", "3", "--json"
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((ROOT / "docs/json/bench.schema.json").read_text()))
    none = dict.fromkeys(("lost", "duplicated", "unknown", "failed", "unproved"), 0)
    assert {"published": 6 * tasks, "executed": 6 * tasks} | none == document["audit"]
    assert all(point["throughput"]["median"] > 0 for point in document["points"])
    assert all(run["cpu"] is not None for point in document["points"] for run in point["runs"])
    assert before == keys(client)
    assert {"redis": 1, "worker": 1} == checkout.replicas()


def test_workers_that_run_without_the_workbench_are_left_alone_and_the_next_command_is_told(checkout: Checkout) -> None:
    file = checkout.folder / "docker-compose.yml"
    usual = file.read_text()
    file.write_text(usual.replace("${WORKER_MOUNT:-}", '""'))
    assert checkout.devctl("up", "worker").returncode == 0
    file.write_text(usual)
    client = checkout.client()
    before = keys(client)

    done = checkout.devctl("bench", "--workers", "2", "--repeats", "3")

    assert (1, "") == (done.returncode, done.stdout)
    assert "worker cannot be measured: it was started without" in done.stderr
    assert "devctl up worker     restarts it with that setting" in done.stderr
    assert ({"redis": 1, "worker": 1}, before) == (checkout.replicas(), keys(client))
    names = [one["name"] for one in json.loads(checkout.devctl("queues", "--json").stdout)["queues"]]
    assert not [name for name in names if "bench" in name or "chaos" in name]


@pytest.mark.parametrize("ending", ["SIGINT", "SIGKILL"])
def test_a_stack_that_was_up_gets_its_scale_and_its_queues_back(checkout: Checkout, ending: str) -> None:
    assert checkout.devctl("up", "worker").returncode == 0
    client = checkout.client()
    before = keys(client)

    bench = checkout.begin("bench", *LONG_BENCH)
    assert until(lambda: in_a_run(client), 60)
    assert {"redis": 1, "worker": 2} == checkout.replicas()
    bench.send_signal(getattr(signal, ending))
    said, _ = bench.communicate(timeout=60)

    assert (-signal.SIGKILL if ending == "SIGKILL" else 130) == bench.returncode, said
    restored = until(lambda: (checkout.replicas(), keys(client)) == ({"redis": 1, "worker": 1}, before), 40)
    assert restored, (checkout.replicas(), keys(client) ^ before)
    assert until(lambda: not any("devctl.guard" in one for one in checkout.processes()), 10)


def test_killed_in_a_run_the_stack_that_it_started_leaves_no_process(checkout: Checkout) -> None:
    bench = checkout.begin("bench", *LONG_BENCH)
    assert until(lambda: checkout.replicas() == {"redis": 1, "worker": 2}, 60)
    client = checkout.client()
    assert until(lambda: in_a_run(client), 60)
    bench.kill()
    bench.communicate(timeout=60)

    # The next bench has its turn when all is put back, not before.
    with alone(checkout.folder / lock.NAME, checkout.folder, patience=40):
        assert [] == [one for one in checkout.processes() if "devctl.guard" not in one]
    assert until(lambda: not checkout.processes(), 5), checkout.processes()


def test_killed_while_it_starts_the_stack_it_leaves_no_process(checkout: Checkout) -> None:
    bench = checkout.begin("bench", *LONG_BENCH)
    assert until(lambda: any("redis" in one or "valkey" in one for one in checkout.processes()), 60)
    bench.kill()
    bench.communicate(timeout=60)

    assert until(lambda: not checkout.processes(), 40), checkout.processes()


def test_a_second_ctrl_c_leaves_the_rest_to_the_guard(checkout: Checkout) -> None:
    bench = checkout.begin("bench", *LONG_BENCH)
    assert until(lambda: checkout.replicas() == {"redis": 1, "worker": 2}, 60)
    client = checkout.client()
    assert until(lambda: in_a_run(client), 60)
    bench.send_signal(signal.SIGINT)
    time.sleep(0.15)  # it is putting things back now
    bench.send_signal(signal.SIGINT)
    said, _ = bench.communicate(timeout=60)

    assert 130 == bench.returncode, said
    assert until(lambda: not checkout.processes(), 40), checkout.processes()
