"""The stack that chaos plays in: its own name, ports, Redis, data; made anew for each variant, gone at the end."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from devctl.chaos import compose_file, remains
from devctl.chaos.compose_file import BEHIND, LEDGER, PROXY, REDIS_PORT, RESULTS, WORKERS, Place
from devctl.chaos.publishing import QUEUES
from devctl.chaos.scenario import Setup
from devctl.clock import Clock, SystemClock
from devctl.errors import DevctlError
from devctl.measurement.request import Request
from devctl.measurement.session import guarded, taken_away
from devctl.settings import Settings
from devctl.stack import document, identity, ports
from devctl.stack.port import Runtime
from devctl.stack.report import Emit, failure
from devctl.stack.start import start
from devctl.workbench import Workbench

NAME = "chaos"
START_SECONDS = 90.0
_LOWEST_PORT, _HIGHEST_PORT = 20_000, 32_000
"""Below those that the system gives to clients: one of them could take a killed server's port, or, on the loopback
device, even be connected to itself."""
_STOCK_READY_SECONDS = 30.0


def own(checkout: Workbench) -> Workbench:
    """Of the chaos stack of this checkout. Its runtime is settled now: what an earlier run left may go in between."""
    mine = replace(checkout.settings, stack=NAME)
    mine = replace(mine, compose_file=identity.state_dir(mine) / "compose.yml", overrides=())
    choice = Workbench(mine).runtime_choice
    settled = Workbench(replace(mine, runtime=choice[0]))
    settled.runtime_choice = choice
    return settled


@contextmanager
def staged(checkout: Workbench, mine: Workbench, *, stock: bool) -> Iterator[Stage]:
    """The chaos stack from its first start to its end; when devctl itself is killed its guard takes it away."""
    stack, settings = checkout.stack, mine.settings
    if not stack.workers:
        raise DevctlError("the Compose file names no worker", hint="x-devctl: {workers: [NAME]}")
    request = Request.of(stack) if stack.demo else None
    queues = tuple(one.queue for one in checkout.catalog) if stack.contracts else ()
    with guarded(mine) as guard:
        if NAME in identity.known(settings):  # an earlier run was killed, and its guard too
            Workbench(settings).runtime.stop(volumes=True)
            identity.forget(settings)
        place = Place(
            runtime=settings.runtime,
            stack=stack,
            worker=stack.workers[0],
            request=request if request and request.id else None,
            stock=stock,
            programs=programs(),
            redis=redis_binary(settings.environment) if settings.runtime == "local" else "",
            faketime=faketime(),
            queues=queues,
        )
        original = document.parse(checkout.settings.compose_file).data
        stage = Stage(settings, original, place, lambda: Workbench(settings).runtime, SystemClock())
        stage.write(Setup())  # from here on there is something that a guard can stop
        with taken_away(mine, guard):
            yield stage


@dataclass
class Stage:
    """Starts what a setup needs, and hands out the ways to it."""

    settings: Settings
    original: Mapping[str, Any]
    """The checkout's Compose file, as it is written."""
    place: Place
    open: Callable[[], Runtime]
    """The runtime over the Compose file that lies there now."""
    clock: Clock
    current: Setup | None = None
    _runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime of the current setup."""
        assert self._runtime is not None
        return self._runtime

    def set(self, setup: Setup, emit: Emit) -> None:
        """Have a stack of this setup, every service ready; the one that is there if it is the same."""
        if setup == self.current:
            return
        self.strike()
        self.write(setup)
        self._runtime = self.open()
        report = start(self._runtime, (), timeout=START_SECONDS, emit=emit, clock=self.clock)
        if problem := failure(report, NAME):
            raise problem
        self.current = setup
        if self.place.stock:
            self._wait_for_stock()

    def write(self, setup: Setup) -> None:
        """Make the stack known, with a Compose file for this setup; starts nothing."""
        chosen = free_ports(self.place.targets(setup))
        self.place = replace(self.place, ports=chosen, disk=str(self._disk()))
        identity.create(self.settings, {})
        written = compose_file.make(self.original, setup, self.place)
        self.settings.compose_file.write_text(json.dumps(written, indent=1), encoding="utf-8")

    def strike(self) -> None:
        """Take the stack away, with its data."""
        if self._runtime is not None:
            self._runtime.stop(volumes=True)
        self.current, self._runtime = None, None

    def broker(self, database: int = 0) -> redis.Redis:
        """The broker itself, past the proxy."""
        return self._client(self.place.broker, database)

    def ledger(self) -> redis.Redis:
        """The Redis that no fault touches."""
        return self._client(LEDGER)

    def results(self) -> redis.Redis | None:
        """The results' own Redis, where there is one."""
        return self._client(RESULTS) if self.current and self.current.results else None

    def broker_url(self) -> str:
        """Where the load publishes: through the proxy, if there is one."""
        through = PROXY if self.current and self.current.proxy else self.place.broker
        return f"redis://127.0.0.1:{self.place.ports[through, REDIS_PORT]}/0"

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue in which something of a run may be."""
        return tuple(dict.fromkeys((*QUEUES, *self.place.queues)))

    def worker_services(self) -> tuple[str, ...]:
        """The services whose replicas run the tasks of the load."""
        return (self.place.worker, BEHIND) if self.current and self.current.clocks else (self.place.worker,)

    def _client(self, service: str, database: int = 0) -> redis.Redis:
        return redis.Redis(
            port=self.place.ports[service, REDIS_PORT],
            db=database,
            socket_timeout=5.0,
            socket_connect_timeout=2.0,
            retry=Retry(ConstantBackoff(0.2), 10),
        )

    def _wait_for_stock(self) -> None:
        """Stock workers have no health check: they are there when each has its mailbox."""
        client, end = self.broker(), self.clock.now() + _STOCK_READY_SECONDS
        while client.scard("_kombu.binding.celery.pidbox") < WORKERS:
            if self.clock.now() > end:
                raise DevctlError("the stock workers did not start", hint=f"devctl logs worker --stack {NAME}")
            self.clock.sleep(0.1)

    def _disk(self) -> Path:
        folder = identity.state_dir(self.settings) / "disk"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clean(self) -> bool:
        """Whether nothing is left in the broker that the next part could trip over."""
        try:
            return remains.depth(self.broker(), self.queues).empty
        except redis.RedisError:
            return False


def free_ports(targets: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """A port of this machine for each of them, which nobody is given by chance."""
    chosen: dict[tuple[str, int], int] = {}
    for target in targets:
        port = 0
        while not port or port in chosen.values() or not ports.free(port):
            port = random.randint(_LOWEST_PORT, _HIGHEST_PORT)  # noqa: S311  # nothing secret
        chosen[target] = port
    return chosen


def programs() -> str:
    """The folder with the programs that containers get mounted."""
    return str(Path(__file__).parent)


def redis_binary(environment: Mapping[str, str]) -> str:
    """The Redis of this machine; DevctlError where there is none."""
    from devctl.stack.local.redis import binary

    return binary(environment.get("PATH", ""))


def faketime() -> str:
    """The library that moves clocks; "" where it is not installed."""
    for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
        for found in sorted(Path(folder).glob("**/faketime/libfaketimeMT.so.1")):
            return str(found)
    return ""


def has(*commands: str) -> bool:
    """Whether this machine has all of these."""
    return all(shutil.which(command) for command in commands)
