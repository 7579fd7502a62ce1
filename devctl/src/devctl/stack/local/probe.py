"""Health checks, run by devctl itself while it looks: in parallel, and no more often than needed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from devctl.stack.model import HealthCheck
from devctl.stack.port import DEGRADED, WELL, Health

_EAGER_SECONDS = 0.3  # between two checks of a service that starts; containers get start_interval, which may be long
_SILENT_SECONDS = (
    1.5  # the same while none of its ports is open: a check costs a Python start, taken from the service's
)
_FIRST_ANSWER_SECONDS = 1.0  # how long a look waits for a check that never answered before; enough for a Python start
_OUTPUT_AT_MOST = 2000


@dataclass(frozen=True)
class Subject:
    """A running replica with a health check."""

    name: str
    pid: int
    started_at: float
    check: HealthCheck
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    folder: str = "."
    ports: tuple[int, ...] = ()
    """Where it is to listen."""
    ask: Callable[[float], tuple[bool, str]] | None = None
    """Instead of a command: a quick question, with the time it may take."""


@dataclass
class _Run:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    begun: float
    waited: bool = False


@dataclass
class _Knowledge:
    health: Health = "starting"
    output: str = ""
    failures: int = 0
    asked: float = float("-inf")
    answered: bool = False
    listens: bool = False


class Prober:
    """Knows what each check last said; `look` brings that up to date."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _Knowledge] = {}
        self._runs: dict[tuple[str, int], _Run] = {}
        self._alone = threading.Lock()
        weakref.finalize(self, _end, self._runs)

    def look(self, subjects: Iterable[Subject]) -> dict[str, tuple[Health, str]]:
        """Start the checks that are due, take in those that ended, and return name -> (health, output)."""
        with self._alone:  # a view may look from one thread while a command looks from another
            return self._look({(subject.name, subject.pid): subject for subject in subjects})

    def _look(self, present: Mapping[tuple[str, int], Subject]) -> dict[str, tuple[Health, str]]:
        for key in [key for key in self._known if key not in present]:  # that life is over
            del self._known[key]
            if key in self._runs:
                _end({key: self._runs.pop(key)})
        for key, subject in present.items():
            known = self._known.setdefault(key, _Knowledge())
            if key not in self._runs and _due(subject, known):
                self._ask(key, subject, known)
        self._collect(present)
        return {subject.name: (self._known[key].health, self._known[key].output) for key, subject in present.items()}

    def _ask(self, key: tuple[str, int], subject: Subject, known: _Knowledge) -> None:
        known.asked = time.monotonic()
        if subject.ask is not None:
            _learn(subject, known, *subject.ask(min(subject.check.timeout, _FIRST_ANSWER_SECONDS / 4)))
            return
        output = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe would block a check that talks much
        try:
            process = subprocess.Popen(
                subject.command,
                cwd=subject.folder,
                env=subject.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a check that is ended goes with all that it started
            )
        except OSError as failure:
            output.close()
            _learn(subject, known, False, f"{subject.command[0]}: {failure.strerror}")
        else:
            self._runs[key] = _Run(process, output, known.asked)

    def _collect(self, present: Mapping[tuple[str, int], Subject]) -> None:
        deadline = time.monotonic() + _FIRST_ANSWER_SECONDS
        while True:
            for key in list(self._runs):
                self._take(key, present[key])
            new = [run for key, run in self._runs.items() if not run.waited and not self._known[key].answered]
            if not new or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        for run in self._runs.values():
            run.waited = True  # a check that hangs costs one look its patience, not every look

    def _take(self, key: tuple[str, int], subject: Subject) -> None:
        run = self._runs[key]
        code = run.process.poll()
        late = time.monotonic() - run.begun > subject.check.timeout
        if code is None and not late:
            return
        if code is None:
            _kill(run)
        run.output.seek(0)
        said = run.output.read(_OUTPUT_AT_MOST).decode(errors="replace").strip()
        run.output.close()
        del self._runs[key]
        if code is None:
            said = f"no answer in {subject.check.timeout:g} s" + (f": {said}" if said else "")
        _learn(subject, self._known[key], code == 0, said or (f"exit {code}" if code else ""))


def _due(subject: Subject, known: _Knowledge) -> bool:
    since = time.monotonic() - known.asked
    if known.health in WELL and not known.failures:
        return since >= subject.check.interval
    eager = min(subject.check.start_interval, _EAGER_SECONDS)
    if subject.ask is not None:
        return since >= eager / 3
    if subject.ports and not known.listens:
        known.listens = any(map(_accepts, subject.ports))
        if known.listens:
            return True
        known.output = known.output or f"nothing listens on port {subject.ports[0]} yet"
        return since >= _SILENT_SECONDS and time.time() - subject.started_at >= _SILENT_SECONDS
    # A moment first: a check that anything passes should not find a service that is about to fail.
    return since >= eager and time.time() - subject.started_at >= _EAGER_SECONDS


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.1).close()
    except OSError:
        return False
    return True


def _learn(subject: Subject, known: _Knowledge, good: bool, output: str) -> None:
    known.answered, known.output = True, output
    if good:
        known.health, known.failures = "healthy", 0
        if output.startswith(DEGRADED):
            known.health, known.output = "degraded", output.removeprefix(DEGRADED)
        return
    known.failures += 1
    check, age = subject.check, time.time() - subject.started_at
    # A devctl that has just begun to look has seen one failure only; where the service is old enough for an engine
    # to have seen all of them, that one is enough.
    seen_enough = known.failures >= check.retries or age > check.start_period + check.retries * check.interval
    if seen_enough and age > check.start_period:
        known.health = "unhealthy"


def _end(runs: dict[tuple[str, int], _Run]) -> None:
    for run in runs.values():
        _kill(run)
        run.output.close()
    runs.clear()


def _kill(run: _Run) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses where all of the group are zombies
        os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
