"""The post office as a process, on the real server."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

import post_office
from celeriac import CelerySettings
from celeriac.app.client import default_app

pytestmark = pytest.mark.integration

SOON = 2.0
# For a crowd on one client. httpcore closes what is idle too long or too many, also a connection that it has just given
# to a thread which did not write yet: "Bad file descriptor".
KEEP_ALL = httpx.Limits(max_connections=100, max_keepalive_connections=None, keepalive_expiry=None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(url):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "HTTP_", "LOG_"))}
    port = free_port()
    given = {"CELERY_BROKER_URL": url, "HTTP_PORT": str(port), "LOG_FORMAT": "json"}
    command = [sys.executable, str(Path(post_office.__file__))]
    process = subprocess.Popen(command, env=kept | given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, limits=KEEP_ALL) as http:
        try:
            wait_until_healthy(process, http)
            yield process, http
        finally:
            process.kill()
            process.communicate()


def wait_until_healthy(process, http):
    deadline = time.monotonic() + 20
    while True:
        try:
            return http.get("/health")
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("path", ["/letters", "/plain", "/async"])
def test_with_redis_paused_a_crowd_is_answered_in_time_and_nobody_is_told_of_a_bug(redis_to_break, body, path):
    def ask(_):
        started = time.monotonic()
        answer = http.post(path, json=body) if path == "/letters" else http.post(path)
        return answer, time.monotonic() - started

    with running(redis_to_break.url) as (process, http), ThreadPoolExecutor(50) as crowd:
        assert ask(0)[0].is_success
        redis_to_break.pause()
        answers = list(crowd.map(ask, range(80)))
        health, again = http.get("/health"), ask(0)
        redis_to_break.resume()
        deadline = time.monotonic() + 5
        while not ask(0)[0].is_success:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=15)

    assert {503} == {one.status_code for one, _ in answers}
    assert {"broker_unavailable", "outcome_unknown"} >= {one.json()["error"] for one, _ in answers}
    assert {True} == {"retry-after" in one.headers for one, _ in answers}
    # Some of the crowd wait for their turn at the client: half of it is asked at once.
    assert max(seconds for _, seconds in answers) < SOON + 1
    assert (200, 503) == (health.status_code, again[0].status_code)
    assert again[1] < 0.9  # whoever asks Redis waits for a second
    assert (0, "") == (process.returncode, err)
    assert "http.failed" not in {json.loads(line)["event"] for line in out.splitlines()}


def test_a_wrong_environment_is_one_line_and_exit_1(monkeypatch, capsys):
    monkeypatch.setenv("HTTP_PORT", "hunter2")

    assert 1 == post_office.serve("post-office", post_office.letters)
    out, err = capsys.readouterr()
    assert ("", 1, True, False) == (out, err.count("\n"), "HTTP_PORT is wrong" in err, "hunter2" in err)


def test_a_lifespan_of_ones_own_is_inside_ours(redis_url):
    seen = []

    @asynccontextmanager
    async def lifespan(api):
        seen.append(api.broker.app is default_app())
        yield {"pool": 1}
        seen.append(api.broker.app is default_app())

    api = post_office.letters(CelerySettings(broker_url=redis_url), lifespan=lifespan)

    async def live():
        async with api.router.lifespan_context(api) as state:
            return state

    assert {"pool": 1} == asyncio.run(live())
    assert ([True, True], False) == (seen, api.broker.app is default_app())
