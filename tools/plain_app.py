"""What celeriac.install(app) is worth to a plain Celery app, shown from an empty environment:

    python tools/plain_app.py                      celeriac from this checkout
    python tools/plain_app.py --wheel 'dist/celeriac-*.whl'

A plain app of twenty lines with the one line gets 2,000 tasks, and its workers are killed (kill -9) ten times while
they run: nothing may be lost. Then the same app drains a backlog with the line and without it, by turns, as `celery -A
shop worker -c 2` starts it: threads with the line, stock's prefork without. It starts its own Redis on 127.0.0.1 and
ends what it started. Exit 1 if a task was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from devctl.stack.local.redis import binary

ROOT = Path(__file__).parents[1]
APP = """\
import os
import time

import redis
from celery import Celery

import celeriac

URL = os.environ["SHOP_URL"]
app = Celery("shop", broker=URL, backend=URL)
app.conf.broker_transport_options = {"lease_seconds": 5}
if "SHOP_STOCK" not in os.environ:
    celeriac.install(app)  # the one line


@app.task
def order(number):
    notes = redis.Redis.from_url(URL[:-1] + "1")
    notes.hincrby("begun", number)
    time.sleep(0.03)
    notes.hincrby("ended", number)


@app.task
def nothing():
    pass
"""
PUBLISH = "import sys, shop\nfor n in range(int(sys.argv[1])):\n    print(shop.order.delay(n).id)"
WORKERS, THREADS = 2, 2
KILL_SECONDS = 1.0  # between two kills, at least
QUIET_SECONDS = 20.0
COME_BACK_SECONDS = 120.0
DRAIN_SECONDS = 20.0
MESSAGES = {"celeriac": 60_000, "stock": 5_000}  # of a drain: some seconds each


class Shop:
    """The app's folder, its environment, its Redis."""

    def __init__(self, folder: Path, python: Path, port: int) -> None:
        self.folder, self.python = folder, python
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis(port=port, decode_responses=True)
        self.runs = redis.Redis(port=port, db=1, decode_responses=True)
        self.raw = redis.Redis(port=port)
        self.running: list[subprocess.Popen[bytes]] = []
        self._logs = 0
        (folder / "shop.py").write_text(APP)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("CELERY", "WORKER_", "PYTHON", "VIRTUAL_ENV"))}
        return {**kept, "SHOP_URL": self.url, **more}

    def worker(self, kind: str) -> subprocess.Popen[bytes]:
        """Start one; it is not waited for."""
        self._logs += 1
        words = ["-m", "celery", "-A", "shop", "worker", "-c", str(THREADS), "-n", f"w{self._logs}@%h", "-l", "WARNING"]
        stock = {"SHOP_STOCK": "1"} if kind == "stock" else {}
        with self.log().open("wb") as out:
            process = subprocess.Popen(
                [self.python, *words], cwd=self.folder, env=self.environment(**stock),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.running.append(process)
        return process

    def log(self) -> Path:
        return self.folder / f"worker-{self._logs}.log"

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9, children included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.running.remove(process)

    def end(self) -> None:
        for process in list(self.running):
            self.kill(process)


def main() -> int:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="plain-app-") as scratch, server(Path(scratch)) as port:
        folder = Path(scratch) / "shop"
        folder.mkdir()
        python = environment(Path(scratch) / "environment", asked.wheel)
        shop = Shop(folder, python, port)
        try:
            say(f"celeriac {installed(python)}; {asked.tasks} tasks, {asked.kills} kills")
            lost = killed(shop, asked.tasks, asked.kills)
            say(f"draining by turns, {asked.rounds} rounds")
            rates = drained(shop, asked.rounds)
        finally:
            shop.end()
    if rates:
        ours, stock = (statistics.median(rates[kind]) for kind in ("celeriac", "stock"))
        print(f"\n{'drained, tasks/s':<26}{'median':>10}   rounds")
        for kind, found in rates.items():
            shown = ", ".join(f"{one:,.0f}" for one in found)
            print(f"{kind:<26}{statistics.median(found):>10,.0f}   {shown}")
        print(f"{'ratio':<26}{ours / stock:>10.1f}")
    return 1 if lost else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="plain_app", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", help="a wheel of celeriac, or a pattern; without it, this checkout is installed")
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="of each kind; 0: no throughput")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"plain_app: {text}", file=sys.stderr, flush=True)


# The environment


def environment(folder: Path, wheel: str | None) -> Path:
    """An empty one, with celeriac and what it needs. Returns its interpreter."""
    what = [str(ROOT / "celeriac")]
    if wheel:
        what = [str(found.resolve()) for found in sorted(Path().glob(wheel)) or [Path(wheel)]]
    own = ROOT / ".bootstrap" / "bin" / "uv"
    uv = str(own) if own.exists() else shutil.which("uv")
    python = folder / "bin" / "python"
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *what], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


def installed(python: Path) -> str:
    code = "from importlib.metadata import version as v; print(v('celeriac'), 'on Celery', v('celery'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


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
        client = redis.Redis(port=port)
        until(lambda: answers(client), 20, "no Redis")
        yield port
    finally:
        process.kill()
        process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def until(condition: Any, seconds: float, problem: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"plain_app: {problem}")
        time.sleep(0.01)


# Nothing is lost


def killed(shop: Shop, tasks: int, kills: int) -> int:
    """Kill workers while they run these tasks. Returns how many tasks were lost."""
    publisher = [shop.python, "-c", PUBLISH, str(tasks)]
    told = subprocess.run(
        publisher, cwd=shop.folder, env=shop.environment(), check=True, capture_output=True, text=True
    ).stdout
    ids = told.split()
    workers = [shop.worker("celeriac") for _ in range(WORKERS)]
    done = 0
    while done < kills:
        _at_work(shop)  # a kill is to hit workers at work, not while they start
        if finished(shop, ids) == tasks:
            break
        time.sleep(KILL_SECONDS / 2)
        shop.kill(workers.pop(0))
        done += 1
        workers.append(shop.worker("celeriac"))
    deadline = time.monotonic() + COME_BACK_SECONDS
    while finished(shop, ids) < tasks and time.monotonic() < deadline:
        time.sleep(0.2)
    succeeded = finished(shop, ids)
    begun, ended = (shop.runs.hgetall(name) for name in ("begun", "ended"))
    rows = {
        "tasks published": tasks,
        "workers killed (-9)": done,
        "results SUCCESS": succeeded,
        "ran to their end": len(ended),
        "cut by a kill, run again": sum(map(int, begun.values())) - sum(map(int, ended.values())),
        "ran to their end twice": sum(int(count) - 1 for count in ended.values()),
        "dead letters": shop.client.xlen("celery-dead-celery"),
        "lost": tasks - min(succeeded, len(ended)),
    }
    for name, value in rows.items():
        print(f"{name:<26}{value:>10,}")
    for worker in workers:
        shop.kill(worker)
    if done < kills:
        raise SystemExit(f"plain_app: all was done after {done} kills: more --tasks")
    return rows["lost"]


def _at_work(shop: Shop) -> None:
    """Wait until twenty more tasks have ended; or no task for some seconds, since all have."""
    before, since = shop.runs.hlen("ended"), time.monotonic()
    while shop.runs.hlen("ended") < before + 20 and time.monotonic() - since < QUIET_SECONDS:
        time.sleep(0.01)


def finished(shop: Shop, ids: list[str]) -> int:
    stored: Any = shop.client.mget([f"celery-task-meta-{one}" for one in ids])
    return sum(1 for one in stored if one and json.loads(one)["status"] == "SUCCESS")


# How fast


def drained(shop: Shop, rounds: int) -> dict[str, list[float]]:
    """Tasks a second of each kind, by turns."""
    found: dict[str, list[float]] = {kind: [] for kind in MESSAGES} if rounds else {}
    for number in range(rounds):
        for kind in sorted(MESSAGES, reverse=bool(number % 2)):
            found[kind].append(drain(shop, kind, MESSAGES[kind]))
            say(f"round {number + 1}: {kind} {found[kind][-1]:,.0f}/s")
    return found


def drain(shop: Shop, kind: str, messages: int) -> float:
    """Tasks a second of one worker, from the first tenth of the backlog to the last one, or for 20 s of it. Each task
    that is done leaves its result: one key more."""
    shop.client.flushall()
    fill(shop, messages)
    worker = shop.worker(kind)
    base = shop.client.dbsize()
    began = ended = 0.0
    at_begin = at_end = 0
    deadline = time.monotonic() + COME_BACK_SECONDS
    while not ended:
        done, now = int(shop.client.dbsize()) - base, time.monotonic()
        if not began and done > messages / 10 - 1:
            began, at_begin = now, done
        if done > messages * 9 / 10 or (began and now - began > DRAIN_SECONDS):
            ended, at_end = now, done
        if now > deadline:
            raise SystemExit(f"plain_app: {kind} did not drain {messages}:\n{shop.log().read_text()[-2000:]}")
        time.sleep(0.002)
    shop.kill(worker)
    return (at_end - at_begin) / (ended - began)


def fill(shop: Shop, messages: int) -> None:
    """Messages as Celery writes them: one of its own, and copies with ids of theirs."""
    code = "import shop; print(shop.nothing.delay().id)"
    told = subprocess.run(
        [shop.python, "-c", code], cwd=shop.folder, env=shop.environment(), check=True, capture_output=True, text=True
    ).stdout.strip()
    text: Any = shop.client.lpop("celery")
    tag = json.loads(text)["properties"]["delivery_tag"]
    for start in range(0, messages, 5_000):
        copies = [
            text.replace(told, str(uuid.uuid4())).replace(tag, str(uuid.uuid4()))
            for _ in range(min(5_000, messages - start))
        ]
        shop.client.lpush("celery", *copies)


if __name__ == "__main__":
    sys.exit(main())
