"""A RabbitMQ for the tests of this folder, in a container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devctl.broker.amqp import AmqpBroker
from devctl.errors import DevctlError

DOCKERFILE = Path(__file__).parents[1] / "repositories/rabbitmq.Dockerfile"
IMAGE = "devctl-tests-rabbitmq"


@dataclass(frozen=True)
class RabbitMQ:
    """One that answers."""

    url: str
    management: tuple[str, int]
    container: str


def _docker(*words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    return done.stdout.decode().strip()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    try:
        _docker("build", "--quiet", "--tag", IMAGE, "-", stdin=DOCKERFILE.read_bytes())
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as problem:
        pytest.skip(f"no image of RabbitMQ can be built here: {problem}")
    ports = ("--publish", "127.0.0.1:0:5672", "--publish", "127.0.0.1:0:15672")
    container = _docker("run", "--detach", "--rm", "--hostname", "rabbit", *ports, IMAGE)
    try:
        amqp, api = (int(_docker("port", container, str(port)).rpartition(":")[2]) for port in (5672, 15672))
        found = RabbitMQ(f"amqp://guest:guest@127.0.0.1:{amqp}//", ("127.0.0.1", api), container)
        deadline = time.monotonic() + 60
        while not _answers(found):
            assert time.monotonic() < deadline, _docker("logs", "--tail", "20", container)
            time.sleep(0.2)
        yield found
    finally:
        _docker("rm", "--force", container)


def _answers(server: RabbitMQ) -> bool:
    try:
        broker = AmqpBroker(server.url, management=server.management)
        return bool(broker.info()) and not broker.blind
    except DevctlError:
        return False
