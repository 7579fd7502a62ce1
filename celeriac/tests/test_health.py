import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from celeriac.health import main
from celeriac.worker.heartbeat import Heartbeat
from celeriac.worker.program import Consumption


def eventually(true: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_file_is_touched_while_the_consumer_lives_and_no_longer(tmp_path: Path) -> None:
    alive, looked = threading.Event(), threading.Semaphore(0)

    def look() -> bool:
        looked.release()
        return alive.is_set()

    file = tmp_path / "made" / "health"
    heartbeat = Heartbeat(file, look, interval_seconds=0.001)
    heartbeat.clear()
    heartbeat.start()
    assert looked.acquire(timeout=5)
    assert not file.exists()
    alive.set()
    eventually(file.exists)
    alive.clear()
    while looked.acquire(blocking=False):  # looks that nobody has waited for
        pass
    for _ in range(3):  # a touch of the turn that was under way is over then
        assert looked.acquire(timeout=5)
    os.utime(file, (0, 0))
    for _ in range(100):
        looked.acquire(timeout=5)
    assert 0 == file.stat().st_mtime
    heartbeat.stop()
    assert not file.exists()


def test_a_file_of_a_former_run_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "health"
    file.touch()
    Heartbeat(file, lambda: False).clear()
    assert not file.exists()


def test_the_first_touch_does_not_wait_for_a_turn(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "health", lambda: True, interval_seconds=3600)
    heartbeat.start()
    eventually((tmp_path / "health").exists)
    heartbeat.stop()


def test_a_file_that_cannot_be_touched_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looked = threading.Semaphore(0)

    def look() -> bool:
        looked.release()
        return True

    folder = tmp_path / "run"
    folder.touch()  # a file where the folder should be
    heartbeat = Heartbeat(folder / "health", look, interval_seconds=0.001)
    heartbeat.start()
    for _ in range(5):
        assert looked.acquire(timeout=5)
    folder.unlink()
    eventually((folder / "health").exists)
    heartbeat.stop()
    assert ["worker.heartbeat_failed"] == [record.message for record in caplog.records]


class FakeConsumer:
    def __init__(self) -> None:
        self.task_consumer: object = object()
        self.connection: object = type("Connection", (), {"connected": True})()


def test_a_consumer_counts_as_alive_while_it_is_bound_and_connected() -> None:
    consumption, consumer = Consumption(), FakeConsumer()
    seen = [consumption.alive()]
    consumption._ready(sender=consumer)
    seen.append(consumption.alive())
    connection, consumer.connection = consumer.connection, None
    seen.append(consumption.alive())
    consumer.connection = type("Connection", (), {"connected": False})()
    seen.append(consumption.alive())
    consumer.connection, consumer.task_consumer = connection, None
    seen.append(consumption.alive())
    consumer.task_consumer = object()
    seen.append(consumption.alive())
    consumption._ends()
    seen.append(consumption.alive())
    assert [False, True, False, False, False, True, False] == seen


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    return main(list(arguments)), capsys.readouterr().out.strip()


def test_a_fresh_file_is_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "health").touch()
    assert (0, "ok") == said(capsys, "file", str(tmp_path / "health"))


def test_an_old_file_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "health"
    file.touch()
    os.utime(file, (time.time() - 60, time.time() - 60))
    code, text = said(capsys, "file", str(file))
    assert (1, True) == (code, "was touched 60 s ago, more than 15" in text)
    assert (0, "ok") == said(capsys, "file", str(file), "--max-age", "120.5")


def test_no_file_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "file", str(tmp_path / "health"))
    assert (1, True) == (code, "does not consume yet" in text)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PORT", "WORKER_HEALTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_wrong_call_is_a_usage_error(bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert [2, 2, 2, 2] == [main(a) for a in ([], ["file"], ["ftp", "x"], ["file", "x", "--max-age", "soon"])]
    assert "usage: " in capsys.readouterr().err


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()
        self.wfile.write(b"broker refused")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_http_service_is_healthy_when_it_answers_200(http: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (0, "ok") == said(capsys, "http", f"{http}/ready")
    code, text = said(capsys, "http", f"{http}/other")
    assert (1, True) == (code, text.endswith("answered 503: broker refused"))


def test_an_http_service_that_does_not_answer_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "http", "http://127.0.0.1:1/ready")
    assert (1, True) == (code, "does not answer" in text)
    assert 1 == said(capsys, "http", "not an address")[0]


def test_without_arguments_the_environment_says_whom_to_ask(
    http: str, tmp_path: Path, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.setenv("WORKER_HEALTH_FILE", str(tmp_path / "health"))
    code, text = said(capsys)
    assert (1, True) == (code, "does not consume yet" in text)
    bare.setenv("HTTP_PORT", http.rpartition(":")[2])
    assert (0, "ok") == said(capsys)


def test_the_probe_loads_nothing_but_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "health").touch()
    code = (
        "import sys; sys.argv[1:] = ['file', sys.argv[1]]\n"
        "from celeriac.health import main; assert main(sys.argv[1:]) == 0\n"
        "heavy = {'celery', 'redis', 'pydantic', 'structlog', 'http', 'threading', 'pathlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "health")], check=True)
