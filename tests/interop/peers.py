"""What talks to each other: stock clients, stock workers and workers of ours, each a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from kombu.utils.json import dumps, loads
from tests.interop.environments import HERE, environment

import forks
from celeriac import environment as settings
from celeriac.app.settings import CelerySettings
from devctl.broker import leases

QUEUES = "default,other,third"
START_SECONDS = 60
NOT_INHERITED = ("CELERY_", "WORKER_", "LOG_", "INTEROP_", "PYTHON")


def eventually(true: Callable[[], Any], seconds: float = 10, every: float = 0.02) -> Any:
    """What it answers once it is true; fails when that takes longer."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)
    return answer


def transport() -> str:
    """`atomic` or `stock`: what a worker of ours runs on here. CELERY_TRANSPORT chooses, as it does for any worker."""
    return str(settings.load(CelerySettings).transport)


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}


DIED = '{"error": "Dead", "text": "the client died", "arguments": "()", "trace": ""}'


class PeerError(Exception):
    """What the stock client raised."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['text']}")
        self.kind, self.text, self.arguments = answer["error"], answer["text"], answer["arguments"]
        self.trace = answer["trace"]


class ClientProcess:
    """The stock client of one environment; it serves any number of brokers."""

    def __init__(self, peer: str, errors: Path) -> None:
        self.errors = errors.open("wb")
        self.process = subprocess.Popen(
            [str(environment(peer) / "bin" / "python"), str(HERE / "stock_client.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=clean_environment(),
            cwd=errors.parent,
        )

    def ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(dumps(order) + "\n")
        self.process.stdin.flush()
        answer = loads(self.process.stdout.readline() or DIED)
        if "error" in answer:
            raise PeerError(answer)
        return answer["value"]

    def close(self) -> None:
        self.process.kill()  # else its results would say goodbye to brokers that are gone
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.errors.close()


class Client:
    """Commands of stock_client.py, for one broker: client.send("interop.add", [1, 2]) and so on."""

    def __init__(self, process: ClientProcess, url: str, **conf: Any) -> None:
        self.process, self.url, self.conf = process, url, conf

    def configured(self, **conf: Any) -> "Client":
        return Client(self.process, self.url, **(self.conf | conf))

    def __getattr__(self, command: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.process.ask(
            url=self.url, conf=self.conf, do=command, args=args, kwargs=kwargs
        )

    def failure(self, task_id: str, timeout: float = 10) -> PeerError:
        """What get() raises there."""
        try:
            value = self.get(task_id, timeout=timeout)
        except PeerError as error:
            return error
        raise AssertionError(f"it did not fail, it returned {value!r}")

    def wait(self, task_id: str, *states: str, seconds: float = 10) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            look: dict[str, Any] = self.look(task_id)
            return look if look["state"] in states else None

        return eventually(there, seconds)


def sig(task: str, *args: Any, kwargs: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    """A signature for the client's `run`."""
    return ["sig", task, list(args), kwargs or {}, options]


class Worker:
    """A worker process, what it logged and what its tasks noted."""

    name: str

    def __init__(
        self, command: list[str], name: str, folder: Path, environ: dict[str, str], ready: bool = True
    ) -> None:
        self.name = name
        self.log, self.notes_file = folder / f"{name}.log", folder / f"{name}.notes"
        self.process = forks.start(
            command,
            env=clean_environment() | {"INTEROP_NOTES": str(self.notes_file), "INTEROP_NAME": name} | environ,
            log=self.log,
            cwd=folder,
            session=True,
        )
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.notes("ready"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not ready:\n{self.output()[-4000:]}")
            time.sleep(0.02)
        self.hostname = next(iter(self.notes("ready")))["hostname"]

    def notes(self, kind: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        # What stands behind the last end of a line is being written.
        lines = self.notes_file.read_text().split("\n")[:-1] if self.notes_file.exists() else []
        notes = [json.loads(line) for line in lines]
        return [
            note
            for note in notes
            if kind in (None, note["note"]) and all(note.get(name) == value for name, value in fields.items())
        ]

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """The process and its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Warm; the exit code."""
        if self.alive():
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} does not stop:\n{self.output()[-4000:]}") from None


def our_worker(url: str, folder: Path, *, threads: int = 1, name: str = "ours", **options: Any) -> Worker:
    """A worker of ours. On the stock transport: with the pool whose promises are the strongest there, prefork."""
    pool = options.pop("pool", "threads" if transport() == "atomic" else "prefork")
    environ = {
        "CELERY_BROKER_URL": url,
        "CELERY_SENTINEL_MASTER": "orders",
        "CELERY_TRANSPORT": transport(),
        "WORKER_POOL": pool,
        "WORKER_CONCURRENCY": str(threads),
        "WORKER_QUEUES": options.pop("queues", QUEUES),
        "LOG_LEVEL": "info",
        **_of_the_test(options),
    }
    environ |= options.pop("environ", {})
    return Worker([sys.executable, str(HERE / "our_worker.py")], name, folder, environ, **options)


def stock_worker(peer: str, url: str, folder: Path, *, threads: int = 1, name: str = "stock", **options: Any) -> Worker:
    """A worker of the stock environment. Solo or threads: it shares this machine with many."""
    arguments = ["--hostname", f"{name}@test", "--queues", options.pop("queues", QUEUES)]
    arguments += ["--pool", options.pop("pool", "threads" if threads > 1 else "solo"), "--concurrency", str(threads)]
    arguments += ["--without-mingle", "--without-gossip", *options.pop("arguments", [])]
    environ = {"INTEROP_URL": url, "INTEROP_ARGUMENTS": json.dumps(arguments), **_of_the_test(options)}
    environ |= options.pop("environ", {})
    return Worker(
        [str(environment(peer) / "bin" / "python"), str(HERE / "stock_worker.py")], name, folder, environ, **options
    )


def _of_the_test(options: dict[str, Any]) -> dict[str, str]:
    return {
        "INTEROP_CONF": json.dumps(options.pop("conf", {})),
        "INTEROP_SIGNALS": json.dumps(options.pop("signals", [])),
    }


def lease(seconds: float) -> dict[str, str]:
    """The environment of a worker of ours whose claims are over so soon; of the stock transport, nothing."""
    return {"CELERY_LEASE_SECONDS": str(seconds)} if transport() == "atomic" else {}


def restore(database: Any, claims: int) -> None:
    """Wait until `devctl queues` has given back what a worker of ours held that died; its patience is shortened."""
    if transport() == "atomic":
        back = 0

        def all_back() -> bool:
            nonlocal back
            back += leases.give_back(database)
            return back >= claims

        with mock.patch.object(leases, "GRACE_SECONDS", 1):
            eventually(all_back, 20, every=0.2)
