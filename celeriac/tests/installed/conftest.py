"""Workers of plain apps as real processes: `celery -A … worker`, `celeriac worker -A …`.

Most are forks of a process that has imported Celery; those that are about a start are started from nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult

import forks

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent
READY_SECONDS = 40
SECONDS = 25.0  # for a result


class Plain:
    """Plain workers on one Redis, and a client of it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.running: list[tuple[forks.Process, Path]] = []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("CELERY", "WORKER_", "PLAIN_"))}
        return {**kept, "PLAIN_URL": self.url, "PLAIN_RESULTS": self.url, "PYTHONPATH": str(APPS), **more}

    def worker(self, *words: str, mingles: bool = False, from_nothing: bool = False, **more: str) -> forks.Process:
        """Started; returns when it consumes."""
        log = self.folder / f"worker-{len(self.running)}.log"
        command = [
            str(BIN / words[0]),
            *words[1:],
            "-l",
            "INFO",
            *([] if mingles else ["--without-mingle", "--without-gossip"]),
        ]
        environment = self.environment(**more)
        process: forks.Process
        if from_nothing:
            with log.open("wb") as out:
                process = subprocess.Popen(
                    command, env=environment, cwd=APPS, stdout=out, stderr=out, start_new_session=True
                )
        else:
            process = forks.start([sys.executable, *command], env=environment, log=log, cwd=APPS, session=True)
        self.running.append((process, log))
        self.until(lambda: " ready." in log.read_text() or process.poll() is not None, READY_SECONDS)
        assert process.poll() is None, log.read_text()
        return process

    def log(self) -> str:
        return self.running[-1][1].read_text()

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            env=self.environment(**more), cwd=APPS, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s\n" + (self.log() if self.running else ""))
            time.sleep(0.02)
        return found

    def notes(self, name: str) -> list[str]:
        return self.client.lrange(f"notes-{name}", 0, -1)  # type: ignore[return-value]  # not awaitable here

    def end(self) -> None:
        for process, _ in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.client.close()


@pytest.fixture(scope="module")
def shared(redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """For tests that leave the worker alive."""
    found = Plain(f"redis://127.0.0.1:{redis_server.port}/9", tmp_path_factory.mktemp("plain"))
    found.client.flushdb()
    yield found
    found.end()


@pytest.fixture
def plain(redis_server: Any, tmp_path: Path) -> Iterator[Plain]:
    found = Plain(f"redis://127.0.0.1:{redis_server.port}/8", tmp_path)
    found.client.flushdb()
    yield found
    found.end()


@pytest.fixture
def app(plain: Plain) -> Any:
    """A stock client."""
    with Celery("client", broker=plain.url, backend=plain.url, set_as_current=False) as client:
        yield client


def send(app: Any, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    sent: AsyncResult[Any] = app.send_task(f"proj.celery.{task}", args, **options)
    return sent


def ends(plain: Plain, process: forks.Process, seconds: float = SECONDS) -> int:
    plain.until(lambda: process.poll() is not None, seconds)
    return process.wait()
