"""Workers as real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class RunningWorker:
    process: subprocess.Popen[bytes]
    log: Path
    health_file: Path

    def output(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not self.health_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the worker is not ready:\n{self.output()}")
            time.sleep(0.02)

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def stop(self, seconds: float = 20) -> int:
        self.process.terminate()
        return self.process.wait(seconds)


Start = Callable[..., RunningWorker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `python …` as a worker; it ends with the test."""
    started: list[RunningWorker] = []

    def run(broker_url: str, *command: str, **environment: str) -> RunningWorker:
        folder = tmp_path / f"worker-{len(started)}"
        folder.mkdir()
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_", "LOG_"))
        }
        health_file = folder / "health"
        given = {"CELERY_BROKER_URL": broker_url, "WORKER_HEALTH_FILE": str(health_file), "LOG_FORMAT": "json"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *(command or ("-m", "worker.main"))],
                env=kept | given | environment,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        started.append(RunningWorker(process, folder / "log", health_file))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
