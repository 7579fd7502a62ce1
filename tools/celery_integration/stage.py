"""Where the tests run: a copy of them, an interpreter, and for each process of pytest an empty Redis."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import redis

from celeriac.app.installation import storing_settings
from celeriac.app.settings import CelerySettings, celery_settings
from devctl.stack.local.redis import binary
from runs import BAD, Found, Run, tell

HERE = Path(__file__).parent
CELERIAC = HERE.parents[1] / "celeriac" / "src"
SILENCE_SECONDS = 30  # beyond a test's own time: then its process is ended from outside
AZURE = "t/integration/test_backend.py"  # imports what only Azure's backend needs
# Celery's tests expect its own queue, and bring what they accept.
NOT_FOR_TESTS = ("task_routes", "task_default_queue", "accept_content", "result_accept_content")
THREADS = "celeriac.run.pool:TaskPool"


class Kind(NamedTuple):
    """A way to run Celery's tests."""

    pool: str
    ours: bool = False  # celeriac.install(app)
    settings: bool = False  # those of our workers
    late: bool = True  # acknowledged when done; False: as Celery has it by default


KINDS = {
    "stock": Kind("prefork"),
    # A plain app with the one line:
    "plain": Kind(THREADS, ours=True),
    "plain-prefork": Kind("prefork", ours=True),
    # With the settings of our services besides:
    "threads": Kind(THREADS, ours=True, settings=True),
    "prefork": Kind("prefork", ours=True, settings=True),
    # To find causes:
    "solo": Kind("solo", ours=True, settings=True),
    "stock-settings": Kind("prefork", settings=True),
    "stock-threads": Kind("threads"),
    "threads-early": Kind(THREADS, ours=True, settings=True, late=False),
}


class Stage:
    """`tests`: the folder or file of the checkout. `output`: a folder for what pytest and the workers print."""

    def __init__(
        self, python: Path, checkout: Path, tests: str, scratch: Path, output: Path | None, words: list[str]
    ) -> None:
        self.python, self.tests, self.scratch, self.words = python, tests, scratch, words
        self.output = output or scratch
        self.output.mkdir(parents=True, exist_ok=True)
        self.place = copy(checkout, tests, scratch)
        self.seconds, self.reruns = 180.0, 1
        self._processes = 0

    def run(self, name: str, kind: Kind | None) -> Run:
        """All of them. Without a kind, it is kombu's tests: `ours` meets our classes, others kombu's."""
        run = Run(name)
        todo: list[str] | None = None
        while todo is None or todo:
            if not self._part(run, kind, todo):
                break  # not one test further
            todo = [node for node, found in run.found.items() if found.outcome == "not run"]
        for node, found in list(run.found.items()):
            if found.outcome in BAD and kind is not None:
                run.found[node] = Found(unsteady=f"{found.outcome}: {found.why}")
                self._part(run, kind, [node])
        return run

    def _part(self, run: Run, kind: Kind | None, only: list[str] | None) -> bool:
        """One process of pytest, until a test fails; whether it came forward."""
        self._processes += 1
        name = f"{run.name}-{self._processes}"
        log, output = self.scratch / f"{name}.jsonl", self.output / f"{name}.txt"
        with server(self.scratch) as port, output.open("wb") as out:
            process = subprocess.Popen(
                self._command(kind), cwd=self.place, env=self._environ(run.name, kind, only, log, port),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
            try:
                silent = self._watch(process, log)
            finally:
                with contextlib.suppress(ProcessLookupError):  # its workers' children, too
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        before = _left(run)
        self._read(run, log, output, silent=silent, returned=process.returncode)
        if not run.found:
            raise SystemExit(f"celery_integration: no test ran:\n{output.read_text(errors='replace')[-3000:]}")
        return before is None or _left(run) != before

    def _command(self, kind: Kind | None) -> list[str]:
        plugins = ["ours_plugin", "no:cacheprovider", *(["celery.contrib.pytest"] if kind else [])]
        words = [str(self.python), "-m", "pytest", "-c", "pytest.ini", "--rootdir=.", f"--ignore={AZURE}", "-vv", "-rA"]
        for plugin in plugins:
            words += ["-p", plugin]
        if kind is not None:  # a test that failed may leave a worker that is busy with it
            words.append("--maxfail=1")
        return [*words, *self.words, self.tests]

    def _environ(self, name: str, kind: Kind | None, only: list[str] | None, log: Path, port: int) -> dict[str, str]:
        url = f"redis://127.0.0.1:{port}/0"
        asked: dict[str, Any] = {"only": only, "log": str(log), "seconds": self.seconds, "reruns": self.reruns}
        if kind is None:
            asked["transport"] = name == "ours"
        else:
            asked |= {"pool": kind.pool, "ours": kind.ours}
            (self.place / "integration-tests-config.json").write_text(json.dumps(settings(kind, url)))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_"))}
        return {
            **kept,
            "CELERY_INTEGRATION": json.dumps(asked),
            "PYTHONPATH": os.pathsep.join(map(str, (self.place, HERE, CELERIAC))),
            "PATH": os.pathsep.join((str(self.python.parent), kept.get("PATH", ""))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TEST_BROKER": url,
            "TEST_BACKEND": url,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(port),
            "WORKER_LOGLEVEL": "INFO",
        }

    def _watch(self, process: subprocess.Popen[bytes], log: Path) -> bool:
        """Wait for its end; whether it had to be ended, as nothing came any more."""
        size, since = -1, time.monotonic()
        while process.poll() is None:
            now = log.stat().st_size if log.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            if time.monotonic() - since > self.seconds + SILENCE_SECONDS:
                return True
            time.sleep(0.2)
        return False

    def _read(self, run: Run, log: Path, output: Path, *, silent: bool, returned: int) -> None:
        running, failures = "", {}
        for line in log.read_text().splitlines() if log.exists() else ():
            one = json.loads(line)
            for node in one.get("collected", ()):
                run.found.setdefault(node, Found())
            if "begun" in one:
                running = one["begun"]
            elif "again" in one:
                run.found[one["again"]].reruns += 1
            elif "failed" in one:
                failures.setdefault(one["failed"], one["why"])
            elif "ended" in one:
                running, found = "", run.found[one["ended"]]
                found.outcome, found.why, found.seconds = one["outcome"], one["why"], one["seconds"]
                tell(run, one["ended"])
        if running:
            found = run.found[running]
            hung = silent or "+ Timeout +" in output.read_text(errors="replace")
            why = f"longer than {self.seconds:.0f} s" if hung else f"its process ended with {returned}"
            found.outcome, found.why = "hung" if hung else "died", why
            if running in failures:
                found.why = f"{failures[running]}; then {why}"
            tell(run, running)


def _left(run: Run) -> int | None:
    """How many did not run; None before anybody knows."""
    return sum(one.outcome == "not run" for one in run.found.values()) if run.found else None


def copy(checkout: Path, tests: str, scratch: Path) -> Path:
    """Only the tests: a whole checkout on the path would be imported in place of what is installed."""
    place, wanted = scratch / "tests", checkout / tests
    keep = {wanted, *wanted.parents}

    def others(folder: str, names: list[str]) -> list[str]:
        here = Path(folder)
        inside = wanted in (here, *here.parents)
        return [
            name
            for name in names
            if name == "__pycache__" or (not inside and (here / name).is_dir() and here / name not in keep)
        ]

    shutil.copytree(checkout / "t", place / "t", ignore=others)
    (place / "pytest.ini").write_text("[pytest]\npython_classes = test_*\n")
    return place


def settings(kind: Kind, url: str) -> dict[str, Any]:
    """Beside those of Celery's tests."""
    if not kind.settings:
        return {}
    found = {**celery_settings(CelerySettings(broker_url=url)), **storing_settings(), "task_acks_late": kind.late}
    if not kind.ours:
        found |= {"broker_transport": None, "worker_prefetch_multiplier": 1}
    return {name: value for name, value in found.items() if name not in NOT_FOR_TESTS}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    """An empty Redis, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [binary(os.environ.get("PATH", "")), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        client, deadline = redis.Redis(port=port), time.monotonic() + 20
        while True:
            with contextlib.suppress(redis.RedisError):
                if client.ping():
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"celery_integration: no Redis:\n{(folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()
