"""What every runtime promises (stack/port.py): the shipped fake, processes, and containers where an engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from devctl import settings
from devctl.clock import Clock, SystemClock
from devctl.errors import DevctlError, UsageError
from devctl.stack import file
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.port import Replica, Runtime
from devctl.stack.start import restart, start

COMPOSE = """\
name: {name}
x-devctl: {{broker: redis, workers: [worker], contracts: ""}}
x-quick: &quick {{interval: 1s, timeout: 2s, retries: 2, start_period: 0s, start_interval: 100ms}}
x-service: &service
  image: ${{PYTHON_IMAGE:-python:3.11-slim}}
  init: true
  stop_grace_period: 2s
  depends_on: {{redis: {{condition: service_healthy}}}}
services:
  redis:
    image: ${{REDIS_IMAGE:-redis:8-alpine}}
    command: [redis-server, --appendonly, "yes", --save, ""]
    ports: ["127.0.0.1:${{REDIS_PORT:-0}}:6379"]
    volumes: ["data:/data"]
    healthcheck: {{<<: *quick, test: [CMD, redis-cli, ping]}}
  worker:
    <<: *service
    command: [sh, -c, "${{WORKER_RUNS:-echo first; echo second; touch /tmp/said; exec sleep 600}}"]
    restart: ${{WORKER_RESTARTS:-unless-stopped}}
    healthcheck: {{<<: *quick, test: [CMD-SHELL, "${{WORKER_CHECK:-test -e /tmp/said}}"]}}
  web:
    <<: *service
    command: [python, -m, http.server, --bind, 0.0.0.0, "8000"]
    ports: ["127.0.0.1:${{WEB_PORT:-0}}:8000"]
    healthcheck:
      <<: *quick
      test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"]
volumes: {{data: {{}}}}
"""
PATIENCE_SECONDS = 40.0


class World(Protocol):
    """A runtime over the Compose file above, and the ways to script its worker."""

    runtime: Runtime
    clock: Clock

    def worker_exits(self, code: int) -> None:
        """From its next start on, and is not started again."""

    def worker_is_never_healthy(self) -> None:
        """Its check says `not today`."""

    def redis_port(self, port: int) -> None:
        """Published as a fixed one."""


@dataclass
class Fake:
    root: Path
    runtime: FakeRuntime = field(init=False)

    def __post_init__(self) -> None:
        ready = Behaviour(healthy_after=0.3, logs=("first", "second"))
        self.runtime = FakeRuntime(
            file.read(settings.load(start=self.root)), dict.fromkeys(("redis", "worker", "web"), ready)
        )
        self.clock = self.runtime.clock

    def worker_exits(self, code: int) -> None:
        self._reread(WORKER_RESTARTS="no")
        self.runtime.behaviours["worker"] = Behaviour(exits_after=0.2, exit_code=code, logs=("giving up",))

    def worker_is_never_healthy(self) -> None:
        self.runtime.behaviours["worker"] = Behaviour(healthy_after=None, health_output="not today")

    def redis_port(self, port: int) -> None:
        self._reread(REDIS_PORT=str(port))

    def _reread(self, **variables: str) -> None:
        self.runtime.stack = file.read(settings.load(start=self.root, environ=variables))


@dataclass
class Real:
    """Processes and containers read the same file; variables script it."""

    root: Path
    open: Callable[[settings.Settings], Runtime]
    set: Callable[[str, str], None]
    runtime: Runtime = field(init=False)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self._reread()

    def worker_exits(self, code: int) -> None:
        self._reread(WORKER_RUNS=f"echo giving up; exit {code}", WORKER_RESTARTS="no")

    def worker_is_never_healthy(self) -> None:
        self._reread(WORKER_CHECK="echo not today; exit 1")

    def redis_port(self, port: int) -> None:
        self._reread(REDIS_PORT=str(port))

    def _reread(self, **variables: str) -> None:
        for name, value in variables.items():
            self.set(name, value)
        self.runtime = self.open(settings.load(start=self.root))


@pytest.fixture(
    params=[
        "fake",
        pytest.param("local", marks=pytest.mark.integration),
        pytest.param("compose", marks=pytest.mark.containers),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("COMPOSE_PROJECT_NAME", "REDIS_PORT", "DEVCTL_STACK", "DEVCTL_RUNTIME"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "a checkout"
    root.mkdir()
    project = f"devctl-conformance-{os.getpid()}"
    (root / "docker-compose.yml").write_text(COMPOSE.format(name=project))
    if request.param == "fake":
        yield Fake(root)
        return
    if request.param == "compose":
        from devctl.stack.compose import ComposeRuntime

        open_: Callable[[settings.Settings], Runtime] = ComposeRuntime.open
    else:
        try:
            redis.binary(os.environ.get("PATH", os.defpath))
        except DevctlError as missing:
            pytest.skip(missing.problem)
        open_ = LocalRuntime.open
    world = Real(root, open_, monkeypatch.setenv)
    try:
        yield world
    finally:
        world.runtime.stop(volumes=True)
        if request.param == "compose" and shutil.which("docker"):
            left = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}"]
            assert not subprocess.run(left, capture_output=True, text=True, check=True).stdout


def wait(world: World, until: Callable[[list[Replica]], bool]) -> list[Replica]:
    """Look at the status until it is as wanted."""
    deadline = world.clock.now() + PATIENCE_SECONDS
    while not until(replicas := world.runtime.status()):
        assert world.clock.now() < deadline, replicas
        world.clock.sleep(0.1)
    return replicas


def up(world: World, *services: str) -> list[Replica]:
    report = start(world.runtime, services, timeout=PATIENCE_SECONDS, clock=world.clock)
    assert report.failure is None, report.failure
    return world.runtime.status()


def names(replicas: list[Replica]) -> list[str]:
    return sorted(replica.name for replica in replicas)


def of(replicas: list[Replica], service: str) -> list[Replica]:
    return [replica for replica in replicas if replica.service == service]


def test_where_nothing_runs_there_is_nothing_and_nothing_fails(world: World) -> None:
    assert [] == world.runtime.status()
    assert {} == world.runtime.usage()
    world.runtime.stop()
    world.runtime.stop(["worker"])
    with world.runtime.logs(["worker"]) as lines:
        assert [] == list(lines)


def test_a_service_is_first_starting_then_healthy(world: World) -> None:
    world.runtime.build(world.runtime.missing_images(["redis"]), lambda _: None)
    before = world.clock.now()
    world.runtime.start("redis")
    (redis,) = wait(world, lambda replicas: [r.health for r in replicas] == ["healthy"])
    assert ("redis", "redis-1", "running") == (redis.service, redis.name, redis.state)
    assert (None, 0, "") == (redis.exit_code, redis.restarts, redis.health_output)
    assert redis.started_at is not None
    assert before - 5 <= redis.started_at <= world.clock.now() + 5
    host, port = world.runtime.address("redis", 6379)
    assert (f"{host}:{port}->6379",) == redis.ports


def test_several_services_start_in_one_call(world: World) -> None:
    up(world, "redis")
    world.runtime.start("worker", "web")
    wait(world, lambda replicas: [r.health for r in replicas] == ["healthy"] * 3)


def test_a_second_start_leaves_alone_what_runs(world: World) -> None:
    before = up(world, "worker")
    world.runtime.start("redis", "worker")
    after = wait(world, lambda replicas: all(r.health == "healthy" for r in replicas))
    assert [(r.name, r.started_at, r.pid) for r in before] == [(r.name, r.started_at, r.pid) for r in after]


def test_replicas_come_and_go_and_a_start_without_a_number_keeps_them(world: World) -> None:
    first = of(up(world, "worker"), "worker")
    world.runtime.start("worker", replicas=3)
    wait(world, lambda replicas: [r.health for r in of(replicas, "worker")] == ["healthy"] * 3)
    world.runtime.start("worker")
    three = of(world.runtime.status(), "worker")
    assert ["worker-1", "worker-2", "worker-3"] == names(three)
    world.runtime.start("worker", replicas=1)
    left = of(wait(world, lambda replicas: len(of(replicas, "worker")) == 1), "worker")
    assert [(r.name, r.started_at) for r in first] == [(r.name, r.started_at) for r in left]


def test_a_stop_of_one_service_leaves_the_others(world: World) -> None:
    up(world, "worker", "web")
    world.runtime.stop(["worker", "worker"])
    assert ["redis-1", "web-1"] == names(world.runtime.status())
    world.runtime.stop()
    assert [] == world.runtime.status()


def test_a_restart_begins_anew_and_counts_for_nothing(world: World) -> None:
    before = {r.name: r for r in up(world, "worker")}
    world.clock.sleep(0.05)
    report = restart(world.runtime, ["worker"], timeout=PATIENCE_SECONDS, clock=world.clock)
    assert report.failure is None
    after = {r.name: r for r in world.runtime.status()}
    assert (after["worker-1"].started_at or 0) > (before["worker-1"].started_at or 0)
    assert before["redis-1"].started_at == after["redis-1"].started_at
    assert ("running", 0) == (after["worker-1"].state, after["worker-1"].restarts)


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_exits_is_seen_with_its_code_and_its_last_words(world: World, code: int) -> None:
    world.worker_exits(code)
    up(world, "redis")
    world.runtime.start("worker")
    (worker,) = of(wait(world, lambda replicas: [r.state for r in of(replicas, "worker")] == ["exited"]), "worker")
    assert code == worker.exit_code
    with world.runtime.logs(["worker"], tail=20) as lines:
        assert ["giving up"] == [line.text for line in lines]


def test_what_exited_is_started_again_by_the_next_start(world: World) -> None:
    world.worker_exits(3)
    up(world, "redis")
    world.runtime.start("worker")
    (first,) = of(wait(world, lambda replicas: [r.state for r in of(replicas, "worker")] == ["exited"]), "worker")
    world.clock.sleep(0.05)
    world.runtime.start("worker")
    wait(world, lambda replicas: (of(replicas, "worker")[0].started_at or 0) > (first.started_at or 0))


def test_a_worker_that_is_never_healthy_runs_and_says_why(world: World) -> None:
    world.worker_is_never_healthy()
    up(world, "redis")
    world.runtime.start("worker")
    replicas = wait(world, lambda replicas: any("not today" in r.health_output for r in of(replicas, "worker")))
    (worker,) = of(replicas, "worker")
    assert "running" == worker.state
    assert worker.health in ("starting", "unhealthy")


def test_logs_are_the_lines_of_the_services_asked_for(world: World) -> None:
    up(world, "worker")
    with world.runtime.logs(["worker"]) as lines:
        assert [("worker", "worker-1", "first"), ("worker", "worker-1", "second")] == [
            (line.service, line.replica, line.text) for line in lines
        ]
    with world.runtime.logs(["worker"], tail=1) as lines:
        assert ["second"] == [line.text for line in lines]
    with world.runtime.logs(["worker"], tail=0) as lines:
        assert [] == list(lines)


def test_a_follow_begins_with_the_past_and_ends_when_it_is_left(world: World) -> None:
    up(world, "worker")
    with world.runtime.logs(["worker"], follow=True) as lines:
        assert ["first", "second"] == [next(lines).text, next(lines).text]
        if isinstance(world.clock, SystemClock):
            waiting = threading.Thread(target=lambda: list(lines), daemon=True)
            waiting.start()
            time.sleep(0.2)
    if isinstance(world.clock, SystemClock):
        waiting.join(timeout=10)
        assert not waiting.is_alive()


def test_an_address_is_known_of_what_is_published_and_up(world: World) -> None:
    up(world, "web")
    _, port = world.runtime.address("web", 8000)
    assert port > 0
    with pytest.raises(DevctlError) as not_published:
        world.runtime.address("redis", 1)
    world.runtime.stop(["web"])
    with pytest.raises(DevctlError) as not_up:
        world.runtime.address("web", 8000)
    assert not_published.value.hint
    assert not_up.value.hint


def test_what_runs_uses_memory(world: World) -> None:
    up(world, "worker")
    usage = world.runtime.usage()
    assert {"redis-1", "worker-1"} == set(usage)
    assert all(used.memory_bytes > 10_000 and used.cpu_percent >= 0 for used in usage.values())


def test_a_fixed_port_cannot_be_shared_by_two(world: World) -> None:
    world.redis_port(20_001)  # nobody is to listen there
    with pytest.raises(UsageError, match="redis cannot have 2 replicas"):
        start(world.runtime, ["redis"], scale={"redis": 2}, clock=world.clock)
    assert [] == world.runtime.status()
