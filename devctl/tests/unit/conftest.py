"""A checkout of one file, and the workbench over the fake runtime: what the tests of commands stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.clock import SystemClock
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.workbench import Workbench

COMPOSE = """\
name: shop
x-devctl: {broker: redis, workers: [worker], aliases: {api: service1}, contracts: shop}
services:
  redis:
    image: redis:8-alpine
    ports: ["127.0.0.1:${REDIS_PORT:-6379}:6379"]
    healthcheck: {test: [CMD, redis-cli, ping]}
  worker:
    image: shop/worker:dev
    build: ./worker
    depends_on: {redis: {condition: service_healthy}}
    healthcheck: {test: [CMD, "true"]}
    restart: unless-stopped
  service1:
    image: shop/service1:dev
    build: ./service1
    ports: ["127.0.0.1:${SERVICE1_PORT:-8001}:8001"]
    depends_on: {redis: {condition: service_healthy}}
    healthcheck: {test: [CMD, probe, "http://127.0.0.1:8001/ready"]}
"""


class Fakes:
    """The fake runtimes of a checkout, one a stack; a script for all of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.behaviours = dict.fromkeys(("redis", "worker", "service1"), Behaviour(healthy_after=0.02))
        self.runtimes: dict[str, FakeRuntime] = {}

    @property
    def runtime(self) -> FakeRuntime:
        """The runtime of the checkout's own stack."""
        return self.runtimes[""]

    def of(self, workbench: Workbench) -> FakeRuntime:
        name = workbench.settings.stack
        if name not in self.runtimes:
            self.runtimes[name] = FakeRuntime(workbench.stack, self.behaviours, SystemClock())
            self.runtimes[name].name = "local"  # the JSON schemas know no other
        workbench.stack  # noqa: B018  # an unknown stack is an error, as in the real adapters
        return self.runtimes[name]


@pytest.fixture(autouse=True)
def without_compose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own Compose plugin is not asked: `test_plugin.py` has one of its own."""
    if request.node.path.name != "test_plugin.py":
        monkeypatch.setattr("devctl.stack.plugin._call", lambda environment: None)


@pytest.fixture(autouse=True)
def mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that start services set this variable in their process: that ends with the test."""
    monkeypatch.delenv("WORKER_MOUNT", raising=False)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """A checkout in a path with a space, as the working directory; every runtime in memory."""
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "docker-compose.yml").write_text(COMPOSE)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DEVCTL_LOCKS", str(tmp_path))  # a guard of another test may hold the lock for a while
    for name in ("COMPOSE_PROJECT_NAME", "REDIS_PORT", "SERVICE1_PORT", "DEVCTL_RUNTIME", "DEVCTL_STACK"):
        monkeypatch.delenv(name, raising=False)
    fakes = Fakes(root)
    monkeypatch.setattr(Workbench, "runtime", property(fakes.of))
    monkeypatch.setattr(Workbench, "runtime_choice", ("local", "a test"))
    return fakes
