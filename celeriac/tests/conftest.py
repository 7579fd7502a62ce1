"""Workers as real processes, and clients of a Redis."""

import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import forks
from celeriac import events

HERE = Path(__file__).parent


@dataclass
class RunningWorker:
    process: forks.Process
    log: Path
    health_file: Path
    environment: dict[str, str] = field(default_factory=dict)

    def output(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not self.health_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the worker is not ready:\n{self.output()}")
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


def start_worker(command: list[str], broker_url: str, folder: Path, **environment: str) -> RunningWorker:
    log, health_file = folder / "worker.log", folder / "health"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_", "LOG_"))}
    env |= {"CELERY_BROKER_URL": broker_url, "WORKER_HEALTH_FILE": str(health_file), "LOG_FORMAT": "json"}
    log.unlink(missing_ok=True)
    process = forks.start([sys.executable, *command], env=env | environment, log=log)
    return RunningWorker(process, log, health_file, environment)


def module_of(name: str) -> ModuleType:
    """A service beside this file, with its contracts."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # pydantic looks up annotations there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def misbehaving() -> ModuleType:
    return module_of("misbehaving")


@pytest.fixture(scope="session")
def striking() -> ModuleType:
    return module_of("striking")


@pytest.fixture(scope="session")
def worker_url(redis_server: Any) -> str:
    """A database of their own for the workers of these tests; others may empty theirs."""
    return f"redis://127.0.0.1:{redis_server.port}/5"


@pytest.fixture(scope="session")
def misbehaving_worker(worker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    folder = tmp_path_factory.mktemp("misbehaving")
    worker = start_worker([str(HERE / "misbehaving.py")], worker_url, folder, LOG_LEVEL="info")
    worker.wait_until_ready()
    yield worker
    worker.stop()


@pytest.fixture
def worker_of_its_own(redis_to_break: Any, tmp_path: Path) -> Iterator[RunningWorker]:
    """A worker on a Redis that the test may fill."""
    worker = start_worker([str(HERE / "misbehaving.py")], redis_to_break.url, tmp_path, LOG_LEVEL="info")
    worker.wait_until_ready()
    yield worker
    redis_to_break.stop()
    worker.process.kill()
    worker.process.wait()


@pytest.fixture
def client(redis_server: Any, redis_url: str) -> Iterator[redis.Redis]:
    """Of an empty Redis; answers are text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def told() -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """What is told of messages from here on: event, fields."""
    heard: list[tuple[str, Mapping[str, Any]]] = []

    @events.on_event
    def listener(event: str, fields: Mapping[str, Any]) -> None:
        heard.append((event, fields))

    yield heard
    events.ignore(listener)


def impatient(port: int, seconds: float = 0.3) -> redis.Redis:
    """A client that gives up soon and repeats nothing by itself. It is closed at the end of the test."""
    once = Retry(NoBackoff(), 0)
    client = redis.Redis(port=port, socket_timeout=seconds, socket_connect_timeout=seconds, retry=once)
    IMPATIENT.append(client)
    return client


IMPATIENT: list[redis.Redis] = []


@pytest.fixture(autouse=True)
def impatient_clients() -> Iterator[None]:
    """Closes them: else the garbage collector does, with a warning, in some later test."""
    yield
    while IMPATIENT:
        IMPATIENT.pop().close()
