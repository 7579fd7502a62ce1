"""Celery's own integration tests, against stock and against ours:

    python tools/celery_integration PATH_TO_CELERY_CHECKOUT
    python tools/celery_integration PATH_TO_CELERY_CHECKOUT --pool threads -k chord
    python tools/celery_integration --kombu PATH_TO_KOMBU_CHECKOUT

Only the tests are taken from the checkout; Celery and kombu are the installed ones. The worker runs in the tests'
process, as Celery has it, with one thread or child. A test that hangs or ends its process is told as such, and the
rest goes on in a new process with an empty Redis; so it does after a test that failed, and at the end that test runs
once more, alone: what passes then was in the way of another one, or of the clock. Exit 1 where stock passes and
ours does not, unless known.py has a reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import redis

import environment
import known
from common_tasks.settings import CelerySettings, celery_settings, storing_settings
from devctl.stack.local.redis import binary

HERE = Path(__file__).parent
COMMON = HERE.parents[1] / "common" / "src"
SILENCE_SECONDS = 30  # beyond a test's own time: then its process is ended from outside
AZURE = "t/integration/test_backend.py"  # a backend of Azure's
NOT_FOR_TESTS = ("task_routes", "task_default_queue", "accept_content", "result_accept_content")  # Celery's are theirs


class Kind(NamedTuple):
    """A way to run them."""

    pool: str = ""
    ours: bool = False  # transport, backend, strategy
    settings: bool = False  # those of our workers
    late: bool = True  # acknowledged when done; False: as Celery has it by default


KINDS = {
    "stock": Kind("prefork"),
    "threads": Kind("common_tasks.transport.pool:TaskPool", ours=True, settings=True),
    "prefork": Kind("prefork", ours=True, settings=True),
    # To find causes:
    "stock-settings": Kind("prefork", settings=True),
    "stock-threads": Kind("threads"),
    "solo": Kind("solo", ours=True, settings=True),
    "threads-early": Kind("common_tasks.transport.pool:TaskPool", ours=True, settings=True, late=False),
}
USUAL = ("stock", "threads", "prefork")


@dataclass
class Found:
    """What became of one test."""

    outcome: str = "not run"
    why: str = ""
    seconds: float = 0.0
    reruns: int = 0
    unsteady: str = ""  # what became of it among the others, before it ran once more alone


@dataclass
class Run:
    """All tests of one kind."""

    name: str
    found: dict[str, Found] = field(default_factory=dict)
    processes: int = 0


def main() -> int:
    asked = arguments()
    checkout = asked.checkout.resolve()
    tests = "t/unit/transport/test_redis.py" if asked.kombu else "t/integration"
    if not (checkout / tests).exists():
        raise SystemExit(f"celery_integration: no {tests} in {checkout}: give the folder of a checkout")
    python = environment.python()
    kinds = [name for part in asked.pool or [",".join(USUAL)] for name in part.split(",")]
    if asked.kombu:
        kinds = ["stock", "ours"]
    print(f"celery_integration: {tests} of {revision(checkout)}; {versions(python)}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="celery-integration-") as scratch:
        stage = Stage(python, copy(checkout, tests, Path(scratch)), tests, asked)
        runs = [stage.run(name) for name in kinds]
    if asked.json:
        asked.json.write_text(json.dumps({run.name: {k: vars(v) for k, v in run.found.items()} for run in runs}))
    return report(runs, known.KOMBU if asked.kombu else known.CELERY)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="celery_integration", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="a checkout of Celery's repository")
    parser.add_argument("--kombu", action="store_true", help="the checkout is kombu's: its tests of the Redis transport")
    parser.add_argument("--pool", action="append", help=f"of {', '.join(KINDS)}; default: {','.join(USUAL)}")
    parser.add_argument("-k", dest="expression", default="", help="only tests that match, as pytest has it")
    parser.add_argument("--seconds", type=float, default=180.0, help="for one test (180)")
    parser.add_argument("--reruns", type=int, default=1, help="of a test that Celery marks as flaky (1)")
    parser.add_argument("--output", type=Path, help="a folder for what pytest and the workers print")
    parser.add_argument("--json", type=Path, help="a file for what became of each test")
    asked = parser.parse_args()
    unknown = {name for part in asked.pool or () for name in part.split(",")} - KINDS.keys()
    if unknown:
        parser.error(f"no pool {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return asked


def revision(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), "log", "-1", "--format=%h of %as"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "a folder without git"


def versions(python: Path) -> str:
    code = "import celery, kombu, redis; print(f'Celery {celery.__version__}, kombu {kombu.__version__}, redis-py {redis.__version__}')"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def copy(checkout: Path, tests: str, scratch: Path) -> Path:
    """Only the tests: a whole checkout on the path would be imported in place of what is installed."""
    place = scratch / "tests"
    keep = {checkout / "t", *(checkout / tests).parents, checkout / tests}

    def others(folder: str, names: list[str]) -> list[str]:
        here = Path(folder)
        inside = here == checkout / tests
        return [
            name
            for name in names
            if name == "__pycache__" or (not inside and (here / name).is_dir() and here / name not in keep)
        ]

    shutil.copytree(checkout / "t", place / "t", ignore=others)
    (place / "pytest.ini").write_text("[pytest]\npython_classes = test_*\n")
    return place


@dataclass
class Stage:
    """Where the tests run: their copy, and a Redis of their own."""

    python: Path
    place: Path
    tests: str
    asked: argparse.Namespace

    def run(self, name: str) -> Run:
        run = Run(name)
        todo: list[str] | None = None
        while todo is None or todo:
            if not self._part(run, todo):
                break
            todo = [node for node, found in run.found.items() if found.outcome == "not run"]
        for node, found in list(run.found.items()):
            if found.outcome in BAD and not self.asked.kombu:
                run.found[node] = Found()
                self._part(run, [node])
                run.found[node].unsteady = f"{found.outcome}: {found.why}"
        return run

    def _part(self, run: Run, only: list[str] | None) -> bool:
        """One process of pytest, until a test fails; whether it came forward."""
        run.processes += 1
        log = self.place.parent / f"{run.name}-{run.processes}.jsonl"
        output = (self.asked.output or self.place.parent) / f"{run.name}-{run.processes}.txt"
        output.parent.mkdir(parents=True, exist_ok=True)
        with server(self.place.parent) as port, output.open("wb") as out:
            process = subprocess.Popen(
                self._command(), cwd=self.place, env=self._environ(run.name, only, log, port),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
            try:
                silent = self._watch(process, log)
            finally:
                with contextlib.suppress(ProcessLookupError):  # its workers' children, too
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        before = sum(one.outcome != "not run" for one in run.found.values())
        self._read(run, log, silent, process.returncode, output)
        if not run.found:
            raise SystemExit(f"celery_integration: no test ran:\n{output.read_text(errors='replace')[-3000:]}")
        return sum(one.outcome != "not run" for one in run.found.values()) > before

    def _command(self) -> list[str]:
        words = [str(self.python), "-m", "pytest", "-p", "ours_plugin", "-p", "celery.contrib.pytest", "-c", "pytest.ini", "--rootdir=.", "-p", "no:cacheprovider"]
        words += ["-v", "-rA", f"--ignore={AZURE}", self.tests]
        if not self.asked.kombu:  # a test that failed may leave a worker that is busy with it
            words.append("--maxfail=1")
        return [*words, "-k", self.asked.expression] if self.asked.expression else words

    def _environ(self, name: str, only: list[str] | None, log: Path, port: int) -> dict[str, str]:
        url = f"redis://127.0.0.1:{port}/0"
        asked: dict[str, Any] = {
            "only": only, "log": str(log), "seconds": self.asked.seconds, "reruns": self.asked.reruns
        }  # fmt: skip
        if self.asked.kombu:
            asked["transport"] = name == "ours"
        else:
            kind = KINDS[name]
            asked |= {"pool": kind.pool, "ours": kind.ours}
            (self.place / "integration-tests-config.json").write_text(json.dumps(settings(kind, url)))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_"))}
        return {
            **kept,
            "CELERY_INTEGRATION": json.dumps(asked),
            "PYTHONPATH": os.pathsep.join(map(str, (self.place, HERE, COMMON))),
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
            if time.monotonic() - since > self.asked.seconds + SILENCE_SECONDS:
                return True
            time.sleep(0.2)
        return False

    def _read(self, run: Run, log: Path, silent: bool, returned: int, output: Path) -> None:
        running: str | None = None
        failures: dict[str, str] = {}
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
                found = run.found[one["ended"]]
                found.outcome, found.why, found.seconds = one["outcome"], one["why"], one["seconds"]
                running = None
                tell(run, one["ended"], found)
        if running is not None:
            found = run.found[running]
            hung = silent or "+ Timeout +" in output.read_text(errors="replace")
            found.outcome = "hung" if hung else "died"
            why = f"longer than {self.asked.seconds:.0f} s" if hung else f"its process ended with {returned}"
            found.why = "; then ".join((*filter(None, [failures.get(running)]), why))
            found.seconds = self.asked.seconds if hung else 0.0
            tell(run, running, found)


def settings(kind: Kind, url: str) -> dict[str, Any]:
    """Beside those of Celery's tests."""
    if not kind.settings:
        return {}
    own = CelerySettings(broker_url=url)
    found = {**celery_settings(own), **storing_settings(), "task_acks_late": kind.late}
    if not kind.ours:
        found["broker_transport"] = None
        found["worker_prefetch_multiplier"] = 1
    return {name: value for name, value in found.items() if name not in NOT_FOR_TESTS}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    """An empty Redis on a free port."""
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
            if time.monotonic() > deadline:
                raise SystemExit(f"celery_integration: no Redis:\n{(folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def short(node: str) -> str:
    return node.removeprefix("t/integration/").removeprefix("t/unit/transport/")


def tell(run: Run, node: str, found: Found) -> None:
    if found.outcome not in ("passed", "skipped") or found.reruns:
        again = f" after {found.reruns} reruns" if found.reruns else ""
        print(f"{run.name}: {short(node)}: {found.outcome}{again} {found.why}", file=sys.stderr, flush=True)


def report(runs: list[Run], reasons: dict[str, str]) -> int:
    """The table, and the exit code."""
    nodes = list(dict.fromkeys(node for run in runs for node in run.found))
    wide = max((len(short(node)) for node in nodes), default=0)
    print(" ".join(["test".ljust(wide), *(run.name.ljust(9) for run in runs)]).rstrip())
    for node in nodes:
        cells = [run.found.get(node, Found()).outcome.ljust(9) for run in runs]
        print(" ".join([short(node).ljust(wide), *cells]).rstrip())
    bad = 0
    stock = runs[0] if runs[0].name == "stock" else None
    for run in runs:
        counts = {outcome: sum(one.outcome == outcome for one in run.found.values()) for outcome in OUTCOMES}
        print(f"\n{run.name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
        for node, found in run.found.items():
            if found.outcome in ("passed", "skipped", "xfailed"):
                if found.unsteady:
                    print(f"  {short(node)}: {found.outcome} alone; among the others it {found.unsteady}")
                continue
            passes = stock is not None and stock.found.get(node, Found()).outcome == "passed"
            reason = reasons.get(short(node).partition("[")[0], "")
            bad += passes and not reason
            said = f"known: {reason}" if reason and run is not stock else found.why
            mark = "stock passes: " if passes and run is not stock else ""
            print(f"  {short(node)}: {found.outcome}: {mark}{said}")
    return 1 if bad else 0


BAD = ("failed", "hung", "died")
OUTCOMES = ("passed", "skipped", "xfailed", "failed", "hung", "died", "not run")

if __name__ == "__main__":
    sys.exit(main())
