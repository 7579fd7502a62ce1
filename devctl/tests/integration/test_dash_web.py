"""The page of `devctl dash --web` in a real Chromium, over a real stack: what a user does with it, and sees."""

from __future__ import annotations

import importlib.resources
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from devctl.tests.integration import browser
from devctl.tests.integration.browser import Browser
from devctl.tests.integration.checkout import eventually

from celeriac.life.record import Kind
from devctl import settings
from devctl.errors import DevctlError
from devctl.stack.local import LocalRuntime, redis

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing()),
]
COMPOSE = """\
name: parcels
x-devctl: {broker: redis, workers: [packer], contracts: parcels}
services:
  redis:
    image: redis:8-alpine
    restart: unless-stopped
    command: [redis-server, --appendonly, "yes", --save, ""]
    ports: ["127.0.0.1:0:6379"]
    healthcheck: {test: [CMD, redis-cli, ping]}
  packer:
    build: .
    restart: unless-stopped
    stop_grace_period: 10s
    command: [python, -m, packer]
    environment:
      CELERY_BROKER_URL: redis://redis:6379/0
      WORKER_CONCURRENCY: "2"
      WORKER_HEALTH_FILE: /tmp/health
    depends_on: {redis: {condition: service_healthy}}
    healthcheck: {test: [CMD, python, -m, celeriac.health, file, /tmp/health]}
"""
FILES = {
    "docker-compose.yml": COMPOSE,
    "Dockerfile": "FROM python:3.11-slim\n",
    "parcels.py": """\
from celeriac import Contract, RetryPolicy, TaskPayload, TaskResult

class Parcel(TaskPayload):
    gate: str
    problem: str

class Packed(TaskResult):
    boxes: int

pack = Contract("parcels.pack", "parcels", Parcel, Packed, retries=RetryPolicy(limit=1, cap_seconds=1))
CONTRACTS = (pack,)
""",
    "packer.py": """\
import sys
import time
from pathlib import Path

from celeriac import Outcome, PermanentError, implements, serve
from parcels import Packed, Parcel, pack

@implements(pack)
def handle(parcel: Parcel, outcome: Outcome) -> Packed:
    outcome.progress(0.4, "packed 4 of 10")
    while not Path(parcel.gate).exists():
        time.sleep(0.02)
    if Path(parcel.problem).exists():
        raise PermanentError(Path(parcel.problem).read_text())
    return Packed(boxes=10)

if __name__ == "__main__":
    sys.exit(serve("packer", owns=[handle]))
""",
}
TASK_ID = "5f0c2a44-1d0e-4f6b-9d56-3c6a5f0b7c11"
STRANGE = '<img src=x onerror="document.title=1"> no box fits'
SOON_SECONDS = 20


class Parcels:
    """A checkout whose stack runs, and its dashboard."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            (root / name).write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_"))}
        self.environment = {**kept, "PYTHONPATH": str(root), "DEVCTL_RUNTIME": "local", "NO_COLOR": "1"}
        self.gate, self.problem = root / "gate", root / "problem"
        self.runtime = LocalRuntime.open(settings.load(start=root, runtime="local"))
        self.page = ""

    def devctl(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "devctl", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(self, task_id: str) -> None:
        fields = {"task_id": task_id, "gate": self.gate, "problem": self.problem}
        self.devctl("send-task", "parcels.pack", *(f"--set={name}={value}" for name, value in fields.items()))

    def serve(self, port: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "devctl", "dash", "--web", "--no-open", "--port", str(port)]
        process = subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        self.page = process.stdout.readline().strip()
        return process


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parcels]:
    try:
        redis.binary(os.environ.get("PATH", os.defpath))
    except DevctlError as missing:
        pytest.skip(missing.problem)
    parcels = Parcels(tmp_path_factory.mktemp("parcels"))
    try:
        parcels.devctl("up")
        server = parcels.serve()
        try:
            yield parcels
        finally:
            server.send_signal(signal.SIGINT)
            assert 130 == server.wait(10)
            server.communicate()
    finally:
        parcels.runtime.stop(volumes=True)


@pytest.fixture(scope="module")
def chromium(parcels: Parcels) -> Iterator[Browser]:
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture
def page(parcels: Parcels, chromium: Browser) -> Iterator[Browser]:
    chromium.open(parcels.page)
    chromium.size(1280, 800)
    chromium.see("#services", "packer", "healthy")
    chromium.complaints()
    yield chromium
    assert [] == chromium.complaints()


def test_a_task_is_seen_running_failed_found_its_trace_opened_replayed_and_done(
    parcels: Parcels, page: Browser
) -> None:
    parcels.problem.write_text(STRANGE)
    parcels.send(TASK_ID)
    page.see("#workers", "parcels.pack", TASK_ID[:8], "40% · packed 4 of 10", seconds=SOON_SECONDS)

    parcels.gate.touch()
    page.see("#failures", "dead", "parcels.pack", STRANGE)  # as text
    page.until(lambda: "parcels.pack" not in page.text("#workers"), "end of the run")

    page.click("#failures button", "Trace")
    page.see("#detail", "Trace of", "parcels.pack", "dead", STRANGE)

    parcels.problem.unlink()
    page.click("#failures button", "Replay")
    page.see("#ask", f"Replay parcels.pack {TASK_ID[:8]}…?")
    page.click("#ask-yes")
    page.see("#said", "parcels.pack is back in parcels")
    page.see("#detail", "succeeded")
    page.see("#failures", "Nothing has failed lately")
