"""A checkout with a worker, an API and what both import; devctl is used in it as at a terminal."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from celery import Celery
from celery.result import AsyncResult

from celeriac import install
from devctl import settings
from devctl.errors import DevctlError
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.port import Replica

PATIENCE_SECONDS = 40
COMPOSE = """\
name: workshop
x-devctl: {broker: redis, workers: [worker], contracts: ""}
x-service: &service
  restart: unless-stopped
  stop_grace_period: 10s
  environment: {URL: "redis://redis:6379/0", PYTHONPATH: "../common/src", PORT: "8000", READY: /tmp/ready}
  depends_on: {redis: {condition: service_healthy}}
services:
  redis:
    image: redis:8-alpine
    command: [redis-server, --save, ""]
    ports: ["127.0.0.1:0:6379"]
    healthcheck: {test: [CMD, redis-cli, ping]}
  worker:
    <<: *service
    build: {context: ./worker, additional_contexts: {common: ./common}}
    command: [python, -m, celery, -A, jobs, worker, -P, threads, -c, "2", --loglevel, info, --without-gossip]
    healthcheck: {test: [CMD, test, -e, /tmp/ready]}
  api:
    <<: *service
    build: {context: ./api, additional_contexts: {common: ./common}}
    command: [python, -m, api]
    ports: ["127.0.0.1:0:8000"]
    healthcheck: {test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"]}
"""
FILES = {
    "common/src/words.py": 'WORD = "one"\n',
    "worker/jobs.py": """\
import os
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready

from celeriac import install
from words import WORD

READY = Path(os.environ["READY"])
READY.unlink(missing_ok=True)

@worker_ready.connect
def ready(**_):
    READY.touch()

app = Celery("jobs", broker=os.environ["URL"], backend=os.environ["URL"])
install(app)
SIGN = "a"

@app.task(name="jobs.say")
def say():
    return SIGN + WORD

@app.task(name="jobs.wait")
def wait(gate, log):
    with open(log, "a") as file:
        file.write("begun\\n")
    while not Path(gate).exists():
        time.sleep(0.02)
    return SIGN + WORD

@app.task(name="jobs.stop_here", time_limit=1)
def stop_here(number):
    answer = number + 1
    breakpoint()
    return answer
""",
    "api/api.py": """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from words import WORD

class Says(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(WORD.encode())

HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Says).serve_forever()
""",
}


class Checkout:
    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in {"docker-compose.yml": COMPOSE, **FILES}.items():
            self.write(name, text)
        self.runtime = LocalRuntime.open(settings.load(start=root, runtime="local"))

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        self.write(name, (self.root / name).read_text().replace(old, new))

    def replicas(self, service: str) -> list[Replica]:
        return [one for one in self.runtime.status() if one.service == service and one.state == "running"]

    def publish(self, task: str, *arguments: object) -> AsyncResult[object]:
        host, port = self.runtime.address("redis", 6379)
        url = f"redis://{host}:{port}/0"
        app = Celery("publisher", broker=url, backend=url, set_as_current=False)
        install(app)
        return app.send_task(task, arguments)

    def said_by_api(self) -> str:
        host, port = self.runtime.address("api", 8000)
        try:
            with urllib.request.urlopen(f"http://{host}:{port}", timeout=1) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def logged(self, service: str, text: str) -> bool:
        with self.runtime.logs([service]) as lines:
            return any(text in line.text for line in lines)

    @contextmanager
    def devctl(self, *arguments: str) -> Iterator[pexpect.spawn[str]]:
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "devctl", *arguments, "--runtime", "local"],
            cwd=str(self.root),
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            dimensions=(24, 200),
        )
        try:
            yield terminal
        finally:
            terminal.close(force=True)


def new(folder: Path) -> Checkout:
    try:
        redis.binary(os.environ.get("PATH", os.defpath))
    except DevctlError as missing:
        pytest.skip(missing.problem)
    return Checkout(folder)


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
