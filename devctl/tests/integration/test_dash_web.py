"""The page of `devctl dash --web` in a real Chromium, over a real stack: what a user does with it, and sees."""

from __future__ import annotations

import importlib.resources
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from devctl.tests.integration import browser
from devctl.tests.integration.browser import Browser

from devctl import settings
from devctl.errors import DevctlError
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.port import Replica

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

    def replica(self, service: str) -> Replica:
        return next(one for one in self.runtime.status() if one.service == service)

    def serve(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "devctl", "dash", "--web", "--no-open", "--port", str(port)]
        self.server = subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.server.stdout is not None
        self.page = self.server.stdout.readline().strip()

    def end(self) -> None:
        self.server.send_signal(signal.SIGINT)
        self.server.communicate(timeout=10)
        assert 130 == self.server.returncode


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parcels]:
    try:
        redis.binary(os.environ.get("PATH", os.defpath))
    except DevctlError as lacking:
        pytest.skip(lacking.problem)
    parcels = Parcels(tmp_path_factory.mktemp("parcels"))
    try:
        parcels.devctl("up")
        parcels.serve()
        try:
            yield parcels
        finally:
            parcels.end()
    finally:
        parcels.runtime.stop(volumes=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Future[Browser]]:
    """It starts while the stack does."""
    with ExitStack() as started, ThreadPoolExecutor(1) as beside:
        yield beside.submit(lambda: started.enter_context(browser.chromium()))


@pytest.fixture
def page(chromium: Future[Browser], parcels: Parcels) -> Browser:
    page = chromium.result()
    page.open(parcels.page)
    page.size(1280, 800)
    page.see("#services", "packer", "healthy")
    page.complaints()
    return page


def test_a_task_is_seen_running_failed_found_its_trace_opened_replayed_and_done(
    parcels: Parcels, page: Browser
) -> None:
    parcels.problem.write_text(STRANGE)
    parcels.send(TASK_ID)
    page.see("#workers", "parcels.pack", TASK_ID[:8], "40% · packed 4 of 10")

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
    page.until(lambda: "Replay" not in page.text("#failures"), "end of the letter")
    assert [] == page.complaints()


def test_the_keyboard_alone_will_do(page: Browser) -> None:
    page.keys("Tab")
    assert "Skip to the tables" == page.focused()
    page.keys("Enter", "Tab")
    assert "Pause parcels" == page.focused()
    page.run("document.activeElement.dataset.mark = 'the same'")
    seen = page.text("#clock")
    page.until(lambda: page.text("#clock") != seen)  # another snapshot
    assert "the same" == page.run("return document.activeElement.dataset.mark")

    page.keys("p")
    page.see("#ask", "Pause parcels?")
    assert "Cancel" == page.focused()  # what changes nothing
    page.keys("Tab", "Tab", "Tab")  # round, within the dialog: the third is the browser's own
    assert page.run("return find => document.querySelector('#ask').contains(document.activeElement)") is not False
    page.keys("Escape")
    assert "Pause parcels" == page.focused()

    page.keys("p", "Tab", "Enter")
    page.see("#queues", "paused", "Resume")
    page.keys("p", "Tab", "Enter")
    page.see("#said", "parcels is consumed again")
    page.see("#queues", "Pause")

    page.run("document.querySelector('#services button').focus()")
    page.keys("Down")
    assert "Logs packer" == page.focused()
    page.keys("l")
    page.see("#detail", "Logs of packer", "ready.")
    assert "Logs of packer" == page.focused()
    page.keys("Escape")
    assert "Logs packer" == page.focused()
    assert [] == page.complaints()


def test_no_rule_of_accessibility_is_broken_in_either_colour_on_a_desk_and_on_a_phone(page: Browser) -> None:
    page.run((importlib.resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    page.prefer(reduced_motion="reduce")
    page.click("#services button", "Logs")
    page.see("#detail", "Ready to accept connections")
    for colours, (width, height) in (("light", (1280, 800)), ("dark", (360, 740))):
        page.prefer(color_scheme=colours, reduced_motion="reduce")
        page.size(width, height)
        assert [] == _broken(page)
        assert width == page.run("return document.documentElement.scrollWidth")
        page.click("#services button", "Scale")
        assert [] == _broken(page)
        page.keys("Escape")


def test_a_broker_that_goes_away_is_told_and_what_was_known_stays_and_is_dated(parcels: Parcels, page: Browser) -> None:
    parcels.runtime.stop(["redis"])
    page.see("#banners", "The broker does not answer.", "Queues, workers and failures are of ")
    assert "parcels" in page.text("#queues")
    assert page.run("return getComputedStyle(document.querySelector('#queues')).borderTopStyle") == "dashed"

    parcels.runtime.start("redis")
    page.until(lambda: not page.text("#banners"), "end of the banner")
    assert [] == page.complaints()


def test_a_devctl_that_ends_is_told_and_the_page_goes_on_with_the_next_one(parcels: Parcels, page: Browser) -> None:
    port = int(parcels.page.rpartition(":")[2].strip("/"))
    parcels.end()
    page.see("#banners", "The connection to devctl is lost.", "What is shown is of ")

    parcels.serve(port)
    page.until(lambda: not page.text("#banners") and "packer" in page.text("#services"), "the new page")
    page.click("#queues button", "Pause")  # its token is the new one's
    page.click("#ask-yes")
    page.see("#said", "parcels is paused")


def _broken(page: Browser) -> list[str]:
    """The rules that the page breaks, with the first of what breaks each."""
    found = page.run("return axe.run().then(found => found.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']} {one['nodes'][0]['failureSummary']}" for one in found]
