"""Python programs that start soon: as forks of a process that has imported other people's packages.

To import Celery, redis-py and Pydantic is most of what the start of a worker costs. A template process does it once for
an interpreter, and forks for each start; the child sets its environment, arguments and streams and runs the script as
`__main__`. Our own modules it imports itself. Starts from nothing are tested in worker/tests and in each service's
test_process.py. Where fork is not to be trusted (macOS), each start is one from nothing.

Run as a script, this file is the template: `python forks.py MODULE…`; a line of JSON in for each start, lines of JSON
out: `{"pid": …}` for a start, `{"ended": pid, "code": …}` for an end."""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

# What a started worker has imported, of other people's.
MODULES = (
    *("celery.app.control", "celery.app.events", "celery.app.log", "celery.apps.worker", "celery.backends.redis"),
    *("celery.concurrency.prefork", "celery.concurrency.solo", "celery.concurrency.thread", "celery.events.state"),
    *("celery.fixups.django", "celery.loaders.app", "celery.worker.consumer", "celery.worker.strategy"),
    *("kombu.pidbox", "kombu.transport.redis", "logging.config", "pydantic.dataclasses"),
    *("redis.sentinel", "structlog.stdlib"),
)


class Process(Protocol):
    """As much of a subprocess.Popen as tests use."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def start(
    command: list[str], *, env: dict[str, str], log: Path, cwd: Path | None = None, session: bool = False
) -> Process:
    """Run `python script argument…`; `command` begins with the interpreter. What it says is added to the log."""
    if sys.platform != "linux":
        with log.open("ab") as out:
            return subprocess.Popen(
                command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=session
            )
    log.touch()  # whoever reads it may come before the child
    order = {"argv": command[1:], "env": env, "log": str(log), "cwd": str(cwd or Path.cwd()), "session": session}
    return template(command[0]).fork(order)


@functools.cache
def template(interpreter: str) -> Template:
    return Template(interpreter)


class Template:
    """The process that forks. Any thread may ask for a start, or wait."""

    def __init__(self, interpreter: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [interpreter, __file__, *MODULES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=clean
        )
        self._lock = threading.RLock()
        self._begun = b""
        self._pids: list[int] = []
        self.ended: dict[int, int] = {}
        atexit.register(self._close)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def fork(self, order: dict[str, Any]) -> Fork:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            while not self._pids:
                self.listen(60)
            return Fork(self, self._pids.pop())

    def listen(self, seconds: float) -> None:
        """Take in what there is to hear, or comes within this time."""
        with self._lock:
            out = self._process.stdout
            assert out is not None
            while select.select([out], [], [], seconds)[0]:
                seconds = 0
                heard = os.read(out.fileno(), 1 << 16)
                assert heard, "the template process has ended; what it said stands above"
                *lines, self._begun = (self._begun + heard).split(b"\n")
                for line in map(json.loads, lines):
                    if "pid" in line:
                        self.ended.pop(line["pid"], None)  # the number of an older one
                        self._pids.append(line["pid"])
                    else:
                        self.ended[line["ended"]] = line["code"]


class Fork:
    """A started process; like a subprocess.Popen."""

    def __init__(self, template: Template, pid: int) -> None:
        self._template, self.pid = template, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._template.listen(0)
            self.returncode = self._template.ended.get(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout if timeout is not None else 3600)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self._template.listen(0.05)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve(modules: list[str]) -> dict[str, Any]:
    """Fork for each order. Returns in a child, with its order."""
    for module in modules:
        try:
            __import__(module)
        except ImportError:  # an older peer does not have it
            continue
    assert threading.active_count() == 1, threading.enumerate()
    hears, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    begun = b""
    while True:
        ready, _, _ = select.select([0, hears], [], [])
        if hears in ready:
            os.read(hears, 1 << 10)
            _tell_ends()
        if 0 in ready:
            heard = os.read(0, 1 << 16)
            if not heard:
                os._exit(0)  # the tests have ended
            *orders, begun = (begun + heard).split(b"\n")
            for order in orders:
                if pid := os.fork():
                    _tell({"pid": pid})
                    continue
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(hears)
                os.close(wakes)
                found: dict[str, Any] = json.loads(order)
                return found


def _tell_ends() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _tell(line: dict[str, int]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def become(order: dict[str, Any]) -> None:
    """What the order asks for: this process is the program."""
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    silent = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd, stream in ((silent, 0), (log, 1), (log, 2)):
        os.dup2(fd, stream)
    os.close(silent)
    os.close(log)
    time.tzset()
    sys.argv = order["argv"]
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    become(serve(sys.argv[1:]))
