import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from celeriac.health import judge, main
from celeriac.worker import heartbeat as heartbeats
from celeriac.worker.heartbeat import Heartbeat
from celeriac.worker.program import Consumption


def eventually(true: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.001)


def test_the_file_says_what_is_seen_and_is_gone_at_the_end(tmp_path: Path) -> None:
    looks = iter(range(1_000_000))
    file = tmp_path / "made" / "health"
    heartbeat = Heartbeat(file, lambda: f"at {next(looks)}\n")
    heartbeat.clear()
    assert not file.exists()
    heartbeat.start()
    eventually(file.exists)
    first = file.read_text()
    eventually(lambda: file.read_text() != first)
    heartbeat.stop()
    assert not file.exists()


def test_a_file_of_a_former_run_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "health"
    file.touch()
    Heartbeat(file, lambda: "").clear()
    assert not file.exists()


def test_the_first_look_does_not_wait_for_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 3600)
    heartbeat = Heartbeat(tmp_path / "health", lambda: "at 1\n")
    heartbeat.start()
    eventually((tmp_path / "health").exists)
    heartbeat.stop()


def test_a_file_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looked = threading.Semaphore(0)

    def look() -> str:
        looked.release()
        return "at 1\n"

    folder = tmp_path / "run"
    folder.touch()  # a file where the folder should be
    heartbeat = Heartbeat(folder / "health", look)
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


def written(file: Path, text: str = "", age: float = 0.0) -> str:
    file.write_text(f"at {time.monotonic() - age:.3f}\n{text}")
    return str(file)


def test_a_fresh_file_is_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (0, "ok") == said(capsys, "file", written(tmp_path / "health"))


def test_an_old_file_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "health", age=60)
    assert (1, "the worker hangs: its last sign of life is 60 s old, more than 10") == said(capsys, "file", file)
    assert (0, "ok") == said(capsys, "file", file, "--max-age", "120.5")


def test_a_file_of_another_boot_is_old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == said(capsys, "file", written(tmp_path / "health", age=-1e6))[0]


def test_no_file_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "file", str(tmp_path / "health"))
    assert (1, True) == (code, "does not consume yet" in text)
    (tmp_path / "other").write_text("something else")
    assert (1, "this is no file of a worker's health") == said(capsys, "file", str(tmp_path / "other"))


def test_degraded_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "health", "degraded orders is paused\ndegraded Redis takes no writes: OOM\n")
    assert (0, "degraded: orders is paused; Redis takes no writes: OOM") == said(capsys, "file", file)


def test_a_worker_that_was_stopped_as_a_whole_hangs_as_a_whole() -> None:
    seen = "at 1000\nredis 0\nloop 999\nguard 998\n"
    assert (None, "") == judge(seen, 1009.5)
    assert "the worker hangs" in str(judge(seen, 1010.5)[0])


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        ("redis 0\nloop 991\nguard 999\n", None),
        ("redis 0\nloop 989\nguard 999\n", "the claim loop hangs: its last turn was 11 s ago"),
        ("redis 0\nloop 999\nguard 989\n", "the guard hangs: its last turn was 11 s ago, and leases are not renewed"),
        ("redis 0\nguard dead\n", "the guard has ended: leases are renewed no more"),
        ("redis 0\ncommit 980\n", "an outcome has waited for Redis's answer for 20 s, and Redis answers others"),
        ("redis 0\nthread 980\n", "a task thread hangs outside of any task, for 20 s"),
        ("redis 0\nunbound 930\n", "it has not been bound to its queues for 70 s, and Redis answers"),
        ("redis 0\nawake 995\nloop 900\nguard 900\n", None),  # it was stopped as a whole
        ("redis 990\nunbound 900\nloop 900\nguard 900\ncommit 900\nthread 900\n", None),  # Redis was away
        ("away 900\nunbound 900\nloop 900\nguard 900\ncommit 900\nthread 900\n", None),
        ("redis 0\nstopping\nunbound 900\nloop 900\n", None),
    ],
)
def test_a_part_that_stands_still_while_redis_answers_hangs(seen: str, problem: str | None) -> None:
    assert problem == judge(f"at 1000\n{seen}", 1000.0)[0]


@pytest.mark.parametrize(
    ("seen", "less"),
    [
        ("redis 0\n", ""),
        ("away 988\nunbound 990\n", "Redis has not answered for 12 s; it connects again by itself"),
        ("redis 999\nunbound 990\n", "it connects to its queues again"),
        ("redis 0\nstopping\n", "it stops"),
    ],
)
def test_what_a_restart_would_not_mend_is_said(seen: str, less: str) -> None:
    assert (None, less) == judge(f"at 1000\n{seen}", 1000.0)


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
        self.send_response(503 if self.path == "/other" else 200)
        self.end_headers()
        said = {"/other": b"broker refused", "/less": b'{"status": "degraded", "why": "orders is paused"}'}
        self.wfile.write(said.get(self.path, b'{"status": "ready"}'))

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
    assert (0, "degraded: orders is paused") == said(capsys, "http", f"{http}/less")


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
    written(tmp_path / "health")
    code = (
        "import sys; sys.argv[1:] = ['file', sys.argv[1]]\n"
        "from celeriac.health import main; assert main(sys.argv[1:]) == 0\n"
        "heavy = {'celery', 'redis', 'pydantic', 'structlog', 'http', 'threading', 'pathlib', 're', 'socket', 'json'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "health")], check=True)
