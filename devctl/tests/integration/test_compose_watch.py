"""devctl up --watch and devctl run in containers, on a terminal: folders of the checkout in place of the image's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 60
NAME = f"devctl-watch-{os.getpid()}"
COMPOSE = f"""\
name: {NAME}
x-devctl: {{broker: redis, workers: [api], contracts: ""}}
services:
  redis:
    image: redis:8-alpine
    healthcheck: {{test: [CMD, redis-cli, ping], start_period: 20s, start_interval: 100ms}}
  api:
    image: {NAME}/api:dev
    build: {{context: ./api, additional_contexts: {{common: ./common}}}}
    develop:
      watch:
        - {{path: ./api/src, action: rebuild, target: /app}}
        - {{path: ./common/src, action: rebuild, target: /app}}
        - {{path: ./api/installed.txt, action: rebuild}}
    init: true
    read_only: true
    restart: unless-stopped
    command: [python, -m, api]
    ports: ["127.0.0.1:0:8000"]
    depends_on: {{redis: {{condition: service_healthy}}}}
    healthcheck:
      test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"]
      start_period: 20s
      start_interval: 200ms
"""
FILES = {
    "docker-compose.yml": COMPOSE,
    "api/Dockerfile": "FROM python:3.11-slim\nCOPY --from=common src /app\nCOPY installed.txt src /app/\n"
    "ENV PYTHONPATH=/app\nWORKDIR /app\nRUN useradd --system app\nUSER app\n",
    "api/installed.txt": "old\n",
    "common/src/words/__init__.py": 'WORD = "one"\n',
    "api/src/api.py": """\
import pdb
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from words import WORD

SIGN = "a"

class Says(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{SIGN} {WORD} {Path('/app/installed.txt').read_text().strip()}".encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if sys.stdin.isatty():
    pdb.Pdb(nosigint=True).set_trace()
print("serving", flush=True)
HTTPServer(("0.0.0.0", 8000), Says).serve_forever()
""",
}


class Checkout:
    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        (self.root / name).write_text((self.root / name).read_text().replace(old, new))

    @contextmanager
    def devctl(self, *arguments: str) -> Iterator[pexpect.spawn[str]]:
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "devctl", *arguments, "--runtime", "compose"],
            cwd=str(self.root),
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            dimensions=(40, 200),
        )
        try:
            yield terminal
        finally:
            terminal.close(force=True)

    def to_its_end(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "devctl", *arguments, "--runtime", "compose"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def said(self) -> str:
        try:
            port = json.loads(self.to_its_end("ps", "--json").splitlines()[0])["services"][1]["ports"][0]
            address = port.partition("->")[0]
            with urllib.request.urlopen(f"http://{address}", timeout=1) as answer:
                return str(answer.read().decode())
        except (OSError, IndexError):
            return ""


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def containers(*filters: str) -> list[str]:
    words = (f"--filter=label={one}" for one in (f"com.docker.compose.project={NAME}", *filters))
    return docker("ps", "--all", "--quiet", *words).split()


def of_api() -> list[str]:
    return containers("com.docker.compose.service=api")


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path / "checkout")
    yield checkout
    if left := containers():
        docker("rm", "--force", "--volumes", *left)
    for kind in ("network", "volume"):
        if left := docker(kind, "ls", "--quiet", f"--filter=label=com.docker.compose.project={NAME}").split():
            docker(kind, "rm", *left)
    if docker("image", "ls", "--quiet", f"{NAME}/api"):
        docker("image", "rm", "--force", f"{NAME}/api:dev")


def test_a_change_is_live_without_a_build_and_the_next_up_goes_back_to_the_image(checkout: Checkout) -> None:
    with checkout.devctl("up", "--watch") as watching:
        watching.expect_exact("watching api: 3 files")
        assert "a one old" == checkout.said()
        first = of_api()

        checkout.change("api/src/api.py", 'SIGN = "a"', 'SIGN = "bb"')
        watching.expect_exact("api/src/api.py changed → api")
        watching.expect("api live in")
        assert "bb one old" == checkout.said()

        checkout.change("common/src/words/__init__.py", "one", "three")
        watching.expect("api live in")
        assert "bb three old" == checkout.said()

        checkout.change("api/src/api.py", "import sys", "import (sys")
        watching.expect_exact("the old code goes on")
        assert "bb three old" == checkout.said()
        checkout.change("api/src/api.py", "import (sys", "import sys")
        watching.expect("api live in")
        assert first == of_api(), "restarted, not made anew"

        checkout.change("api/installed.txt", "old", "new")
        watching.expect("api live in")
        assert "bb three new" == checkout.said(), "what is not mounted is built"
        watching.sendintr()
        watching.expect(pexpect.EOF)

    live = of_api()
    assert "code changed" not in checkout.to_its_end("ps")
    checkout.change("api/src/api.py", 'SIGN = "bb"', 'SIGN = "c"')
    assert "code changed since it started: api" in checkout.to_its_end("ps")
    checkout.to_its_end("up")
    assert "c three new" == checkout.said()
    assert live != of_api()
    assert "[]" == docker("inspect", "--format", "{{json .Mounts}}", *of_api()).strip()
    assert "code changed" not in checkout.to_its_end("ps")


def test_run_has_the_terminal_and_gives_the_replica_back(checkout: Checkout) -> None:
    checkout.to_its_end("up")
    before = of_api()

    with checkout.devctl("run", "api") as terminal:
        terminal.expect(r"run      api: \S*127\.0\.0\.1:[1-9]\d*")
        terminal.expect_exact("(Pdb) ")
        assert not set(before) & set(of_api())
        terminal.sendline("p SIGN")
        terminal.expect_exact("'a'")
        terminal.sendline("c")
        terminal.expect_exact("serving")
        terminal.sendintr()
        terminal.expect("run      api stopped; its replica started again")
        terminal.expect(pexpect.EOF)

    eventually(lambda: checkout.said() == "a one old")
    assert 1 == len(of_api()), "nothing of the run is left"


def test_a_devctl_that_is_killed_leaves_no_container_and_the_replica_comes_back(checkout: Checkout) -> None:
    checkout.to_its_end("up")

    with checkout.devctl("run", "api") as terminal:
        terminal.expect_exact("(Pdb) ")
        os.kill(terminal.pid, 9)

        eventually(lambda: not containers("devctl.run=api"))
        eventually(lambda: checkout.said() == "a one old")


def test_up_after_a_crash_is_a_new_try(checkout: Checkout) -> None:
    checkout.change("api/src/api.py", 'SIGN = "a"', 'raise SystemExit("broken")')
    with checkout.devctl("up") as terminal:
        terminal.expect("api crashed")
        terminal.expect_exact("broken")
        terminal.expect(pexpect.EOF)
    checkout.change("api/src/api.py", 'raise SystemExit("broken")', 'SIGN = "a"')

    with checkout.devctl("up") as terminal:
        terminal.expect(r"api +\d[^\n]* ready")
        terminal.expect(pexpect.EOF)
