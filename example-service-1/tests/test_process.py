"""The service as it is run: `python -m service1.main`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service1.main import main

pytestmark = pytest.mark.integration


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    def __init__(self, process, port):
        self.process, self.port = process, port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5)

    def get(self, path):
        return self.http.get(path)

    def place(self, body, **headers):
        return self.http.post("/api/orders", json=body, headers=headers)

    def wait_until_healthy(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.get("/health")
            except httpx.TransportError:
                assert self.process.poll() is None, self.process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=15)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def raw(self, *pieces):
        """What comes back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            for piece in pieces:
                connection.sendall(piece)
            answer = b""
            while received := connection.recv(65_536):
                answer += received
            return answer


def start(**environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CELERY_", "HTTP_", "LOG_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "service1.main"],
        env=clean | {"LOG_FORMAT": "json"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(url, **environment):
    port = free_port()
    service = Service(start(CELERY_BROKER_URL=url, HTTP_PORT=str(port), **environment), port)
    try:
        service.wait_until_healthy()
        yield service
    finally:
        service.http.close()
        service.process.kill()
        service.process.communicate()


@pytest.fixture
def service(redis_url):
    with running(redis_url) as started:
        yield started


@pytest.fixture(scope="module")
def shared(redis_server):
    """For tests that leave it as it was."""
    with running(redis_server.url) as started:
        yield started


def test_an_order_from_the_request_to_the_log(service, body):
    answer = service.place(body, **{"X-Correlation-ID": "shop-42"})
    ready = service.get("/ready")
    code, lines, errors = service.stop()
    events = [line["event"] for line in lines]
    published = next(line for line in lines if line["event"] == "task.published")
    request = next(line for line in lines if line["event"] == "http.request")

    assert (202, 200) == (answer.status_code, ready.status_code)
    assert (0, "") == (code, errors)
    assert ["service.started", "task.published", "http.request", "service.stopped"] == events
    assert {"service1"} == {line["service"] for line in lines}
    assert ("shop-42", "orders", answer.json()["order_id"]) == tuple(
        published[key] for key in ("correlation_id", "queue", "task_id")
    )
    assert ("shop-42", "POST", "/api/orders", 202) == tuple(
        request[key] for key in ("correlation_id", "method", "path", "status")
    )


def test_a_body_that_is_too_large_is_answered_while_it_is_sent(shared):
    head = b"POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunk = b"1000\r\n" + b" " * 4_096 + b"\r\n"
    for length, pieces in (
        (b"Transfer-Encoding: chunked\r\n\r\n", [chunk] * 40 + [b"0\r\n\r\n"]),
        (b"Content-Length: 200000\r\n\r\n", [b" " * 200_000]),
    ):
        answer = shared.raw(head + length, *pieces)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"error": "body_too_large"' in answer


def test_garbage_on_the_line_disturbs_nobody(shared):
    for garbage in (b"\x00\xff\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        assert b" 400 " in shared.raw(garbage).partition(b"\r\n")[0]
    assert 200 == shared.get("/health").status_code


def test_told_to_stop_it_answers_what_it_was_asked_and_goes(redis_to_break, body):
    with running(redis_to_break.url) as service, ThreadPoolExecutor() as pool:
        service.place(body)
        redis_to_break.pause()
        asked = pool.submit(service.place, body)
        time.sleep(0.2)
        started = time.monotonic()
        code, lines, errors = service.stop()
        answer = asked.result()

        assert (503, 0, "") == (answer.status_code, code, errors)
        assert time.monotonic() - started < 3
        assert "service.stopped" == lines[-1]["event"]


def test_ctrl_c_is_no_error(service):
    assert (0, "") == service.stop(signal.SIGINT)[::2]


def test_it_starts_without_a_broker_and_says_that_it_is_not_ready(body):
    with running(f"redis://:hunter2@127.0.0.1:{free_port()}/0") as service:
        ready, placed = service.get("/ready"), service.place(body)
        code, lines, errors = service.stop()

        assert (503, "broker_unavailable") == (ready.status_code, ready.json()["error"])
        assert 503 == placed.status_code
        assert (0, "") == (code, errors)
        assert "hunter2" not in str(lines) + ready.text + placed.text
        assert ["cannot be reached"] == [line["reason"] for line in lines if line["event"] == "broker.lost"]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HTTP_PORT": "70000"}, "HTTP_PORT is wrong"),
        ({"HTTP_PORT": "hunter2"}, "HTTP_PORT is wrong"),
        ({"CELERY_BROKER_URL": "http://hunter2@x/"}, "CELERY_BROKER_URL is wrong"),
        (
            {"CELERY_BROKER_URL": "redis://x/0?socket_timeout=hunter2"},
            "parameter socket_timeout would not mean the same",
        ),
        ({"CELERY_RESULT_BACKEND": "db+sqlite:///hunter2"}, "CELERY_RESULT_BACKEND is wrong"),
        ({"CELERY_BROKER_READ_URL": "redis://:hunter2@x/"}, "CELERY_BROKER_READ_URL would part worker and client"),
        ({"CELERY_RESULT_BACKEND": "sentinel://:hunter2@x:26379"}, "CELERY_SENTINEL_MASTER is not set"),
        ({"LOG_LEVEL": "hunter2"}, "LOG_LEVEL is wrong"),
        ({"HTTP_HOST": "203.0.113.1"}, "HTTP_HOST=203.0.113.1"),
    ],
)
def test_a_wrong_environment_is_one_line_that_names_the_variable(environment, told, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith(("CELERY_", "HTTP_", "LOG_"))]:
        monkeypatch.delenv(name)
    for name, value in ({"HTTP_PORT": str(free_port())} | environment).items():
        monkeypatch.setenv(name, value)
    code = main()
    out, err = capsys.readouterr()

    assert 1 == code
    assert told in err
    assert ("", 1, False) == (out, err.count("\n"), "hunter2" in err)


def test_a_port_that_is_taken_is_told(shared, monkeypatch, capsys):
    monkeypatch.setenv("HTTP_PORT", str(shared.port))

    assert 1 == main()
    assert f"HTTP_PORT={shared.port}: Address already in use; choose another port" in capsys.readouterr().err


def test_it_starts_soon_and_stays_small(redis_url):
    started = time.monotonic()
    with running(redis_url) as service:
        seconds = time.monotonic() - started
        assert 200 == service.get("/ready").status_code
        assert seconds < 10  # about 1 s on an idle machine; this one may be busy
        if sys.platform == "linux":
            lines = Path(f"/proc/{service.process.pid}/smaps_rollup").read_text().splitlines()
            assert 100_000 > next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))  # in kB
