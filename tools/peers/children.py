"""Processes of a bench: each in a session of its own, all ended by their ids, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

GRACE_SECONDS = 5.0


class Failed(Exception):
    """A process did not do its part; the text says which and what it wrote."""


class Children:
    """A context: what was started in it is gone after it."""

    def __init__(self, folder: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self._folder, self._grace_seconds = folder, grace_seconds
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """SIGTERM to each group, if there is time for it, and SIGKILL to what is left of it."""
        for process, _ in self._running:
            self._signal(process, signal.SIGTERM if self._grace_seconds else signal.SIGKILL)
        for process, _ in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(self._grace_seconds)
            self._signal(process, signal.SIGKILL)
            process.wait()

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> int:
        """Start it; its process id."""
        log = self._folder / f"{len(list(self._folder.glob('*.log')))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self._folder,
                env={**_clean(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._running.append((process, log))
        return process.pid

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> str:
        """Run it to its end; the last line that it wrote."""
        self.start(command, environment)
        process, log = self._running.pop()
        try:
            process.wait()
        finally:
            self._signal(process, signal.SIGKILL)
        if process.returncode:
            raise Failed(f"{' '.join(map(str, command[1:]))} ended with {process.returncode}:\n{_end(log)}")
        return log.read_text(errors="replace").strip().rpartition("\n")[2]

    def check(self) -> None:
        """Raise Failed for the first one that has ended by itself."""
        for process, log in self._running:
            if process.poll() is not None:
                raise Failed(f"{' '.join(process.args[1:])} ended with {process.returncode}:\n{_end(log)}")  # type: ignore[index, arg-type]

    def tree(self) -> list[psutil.Process]:
        """All processes, with their children."""
        found: list[Any] = []
        for process, _ in self._running:
            with suppress(psutil.NoSuchProcess):
                first = psutil.Process(process.pid)
                found += [first, *first.children(recursive=True)]
        return found

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _clean() -> dict[str, str]:
    """This environment without settings that some of the programs would read."""
    theirs = ("CELERY_", "WORKER_", "LOG_", "PEERS_", "PYTHON", "VIRTUAL_ENV", "RQ_", "dramatiq_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return kept | {name: os.environ[name] for name in ("CELERY_TRANSPORT",) if name in os.environ}


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
