"""Servers of other people, as processes of this machine, where their programs are."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devctl import settings
from devctl.stack.local import LocalRuntime
from devctl.stack.start import start

pytestmark = pytest.mark.integration

COMPOSE = """\
services:
  broker:
    image: rabbitmq:3-management
    environment: {RABBITMQ_DEFAULT_USER: me, RABBITMQ_DEFAULT_PASS: secret, RABBITMQ_DEFAULT_VHOST: shop}
    healthcheck: {test: rabbitmq-diagnostics -q ping}
  db:
    image: docker.io/library/postgres:16-alpine
    environment: [POSTGRES_USER=me, POSTGRES_PASSWORD=secret, POSTGRES_DB=shop]
    volumes: ["data:/var/lib/postgresql/data"]
volumes: {data: {}}
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[LocalRuntime]:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    opened = LocalRuntime.open(settings.load(start=tmp_path, runtime="local", environ=kept))
    yield opened
    opened.stop(volumes=True)


def started(runtime: LocalRuntime, service: str) -> str:
    if refusal := runtime.refusal(service):
        pytest.skip(refusal.problem)
    report = start(runtime, [service], timeout=60)
    assert report.failure is None, report.failure
    first = runtime.status()[0]
    assert "healthy" == first.health
    start(runtime, [service], timeout=60)
    assert first.pid == runtime.status()[0].pid, "a second look changes nothing"
    return first.name


def test_a_rabbitmq_has_its_user_its_vhost_and_its_management(runtime: LocalRuntime) -> None:
    started(runtime, "broker")
    from kombu import Connection

    host, port = runtime.address("broker", 5672)
    with Connection(f"amqp://me:secret@{host}:{port}/shop") as connection:
        connection.connect()
        assert connection.connected
    host, port = runtime.address("broker", 15672)
    url = f"http://{host}:{port}/api/vhosts"
    said = subprocess.run(["curl", "-s", "-u", "me:secret", url], capture_output=True, text=True, check=True).stdout
    assert '"name":"shop"' in said


def test_a_postgresql_has_its_user_and_database_and_keeps_them(runtime: LocalRuntime) -> None:
    started(runtime, "db")

    def ask(sql: str) -> str:
        host, port = runtime.address("db", 5432)
        command = ["psql", "-h", host, "-p", str(port), "-U", "me", "-d", "shop", "-tAc", sql]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert "" == ask("create table orders (id int)").replace("CREATE TABLE", "")
    runtime.stop()
    start(runtime, ["db"], timeout=60)
    assert "0" == ask("select count(*) from orders")
