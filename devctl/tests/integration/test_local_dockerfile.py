"""A repository that knows nothing of devctl, on the local runtime: its Dockerfile followed, nothing installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from devctl import settings
from devctl.errors import DevctlError
from devctl.stack import identity
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.start import possible, start

pytestmark = pytest.mark.integration

FILES = {
    "docker-compose.yml": """\
services:
  web:
    build: .
    command: python -m shop.web
    depends_on: [cache]
    volumes: ["shared:/shared"]
    environment: {SHARED: /shared/said}
    expose: ["8000"]
    stop_signal: SIGINT
  job:
    build: .
    depends_on: [web]
  cache:
    image: redis:7-alpine
  other:
    image: example/elsewhere:1
    command: elsewhere --serve
  needs-it:
    build: .
    depends_on: [other]
volumes: {shared: {}}
""",
    "Dockerfile": f"""\
FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim
ENV WHERE=/code/data.txt
RUN apt-get update && apt-get install -y gcc
WORKDIR /code
COPY shop shop
COPY data.txt .
COPY entry.sh /entry.sh
RUN sed -i 's/\\r$//' /entry.sh && chmod +x /entry.sh
ENTRYPOINT ["/entry.sh"]
CMD ["python", "-m", "shop.job"]
""",
    "data.txt": "data",
    "entry.sh": '#!/bin/sh\r\ncd /code || exit 9\r\nexec "$@"\r\n',
    "shop/__init__.py": "",
    # What in a container is in the code, and in no setting: a name, a port.
    "shop/web.py": """\
import os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer

class Says(BaseHTTPRequestHandler):
    def do_GET(self):
        with socket.create_connection(("cache", 6379)) as cache:
            cache.sendall(b"PING\\r\\n")
            answer = cache.recv(100).decode().strip()
        text = "|".join([answer, socket.gethostname(), os.environ["WHERE"], open(os.environ["WHERE"]).read()])
        open(os.environ["SHARED"], "w").write(text)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

HTTPServer(("0.0.0.0", 8000), Says).serve_forever()
""",
    "shop/job.py": """\
import time, urllib.request
print(urllib.request.urlopen("http://web:8000/").read().decode(), flush=True)
time.sleep(600)
""",
}


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[LocalRuntime]:
    root = tmp_path / "a checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    path = f"{Path(shutil.which('python3') or '').parent}:{os.environ['PATH']}"
    found = settings.load(start=root, runtime="local", environ={"PATH": path, "HOME": os.environ.get("HOME", "/")})
    try:
        redis.binary(path)
    except DevctlError as missing:
        pytest.skip(missing.problem)
    opened = LocalRuntime.open(found)
    yield opened
    opened.stop(volumes=True)


def test_paths_names_and_ports_of_the_containers_are_this_machine_s(runtime: LocalRuntime) -> None:
    assert {"web", "job"} == {*runtime.missing_images(["web", "job", "cache"])}
    report = start(runtime, ["job"], timeout=60)
    assert report.failure is None, report.failure
    host, port = runtime.address("web", 8000)
    with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
        pong, hostname, where, data = answer.read().decode().split("|")
    assert ("+PONG", "web-1", "data") == (pong, hostname, data)
    assert where.endswith("/roots/web/code/data.txt")
    state = identity.state_dir(settings.load(start=runtime._settings.root, environ={}))
    assert "+PONG" in (state / "local" / "volumes" / "shared" / "said").read_text()
    with runtime.logs(["job"]) as lines:
        said = [line.text for line in lines]
    assert any("+PONG|web-1" in text for text in said), said
    assert "INT" == json.loads((state / "local" / "programs" / "web-1.json").read_text())["stop_signal"]


def test_nothing_is_written_into_the_checkout_but_devctl_s_own_folder(runtime: LocalRuntime) -> None:
    start(runtime, ["web"], timeout=60)
    root = runtime._settings.root
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(FILES) == {name for name in found if not name.startswith(".devctl/")}
    assert "*\n" == (root / ".devctl" / ".gitignore").read_text()


def test_code_that_changed_is_the_code_of_the_next_start(runtime: LocalRuntime) -> None:
    start(runtime, ["web"], timeout=60)
    assert [] == runtime.stale()
    (runtime._settings.root / "data.txt").write_text("changed")
    assert ["web"] == runtime.stale()
    report = start(runtime, ["web"], timeout=60)
    assert report.failure is None
    assert not report.services[-1].was_running
    host, port = runtime.address("web", 8000)
    with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
        assert answer.read().decode().endswith("|changed")


def test_what_is_there_as_a_container_only_is_left_out_with_those_that_need_it(runtime: LocalRuntime) -> None:
    can, left_out = possible(runtime, ["web", "job", "cache", "other", "needs-it"])
    assert ["web", "job", "cache"] == can
    assert [("other", ("needs-it",))] == [(one.service, one.needed_by) for one in left_out]
    assert "example/elsewhere:1" in left_out[0].why.problem
    with pytest.raises(DevctlError, match="other runs only in a container"):
        start(runtime, ["needs-it"], timeout=60)


def test_what_the_dockerfile_installs_of_the_system_is_said_before_the_environment_is_made(
    runtime: LocalRuntime,
) -> None:
    assert ["web, job: Dockerfile:3: left out: apt-get install -y gcc"] == runtime.remarks(["web", "job", "cache"])
    runtime.build(["web", "job"], lambda _: None)
    assert [] == [line for line in runtime.remarks(["web", "job"]) if "apt-get" in line]
