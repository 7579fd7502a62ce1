"""The Compose file of a chaos stack: the checkout's own, with what a fault needs. Pure: documents in, document out."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devctl.chaos.publishing import QUEUES
from devctl.chaos.scenario import GRACE_SECONDS, LEASE_SECONDS, MOST_STARTS, Setup
from devctl.measurement import mount
from devctl.measurement.request import Request
from devctl.stack import normal
from devctl.stack.model import Stack

LEDGER, RESULTS, PROXY, BEHIND = "ledger", "results", "proxy", "behind"
REDIS_PORT, CONTROL_PORT = 6379, 7000
BOUND = 1_000_000
"""Of queues and dead letters: chaos publishes more of both than anybody should want to keep."""
DISK, DISK_MEGABYTES = "/disk", 16
"""In a container; not its /data, which keeps the owner that the image gave it."""
ADDRESS_SPACE_KB = 2_000_000
"""For a worker whose memory is limited here; the address space, not the use. It starts with a quarter of that."""
CONTAINER_MEMORY = "192m"
WORKERS = 2
AHEAD, BEHIND_BY = "+2h", "-2h"
_PING = (
    "import socket, sys\n"
    "host, port = sys.argv[1].split(':')\n"
    "with socket.create_connection((host, int(port)), 2) as redis:\n"
    "    redis.sendall(b'PING\\r\\n')\n"
    "    sys.exit(0 if redis.recv(64).startswith(b'+PONG') else 1)"
)


@dataclass(frozen=True)
class Place:
    """What the file has to know of the machine and of the checkout."""

    runtime: str
    stack: Stack
    """The checkout's own."""
    worker: str
    request: Request | None
    """That makes an order, and the service with the HTTP API that takes it; None without."""
    ports: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Service and container port -> port of this machine."""
    stock: bool = False
    programs: str = ""
    """The folder with proxy.py and stock.py."""
    disk: str = ""
    """A folder to mount a small disk on."""
    redis: str = ""
    """The Redis binary of this machine."""
    faketime: str = ""
    """The library that moves a process's clock."""

    queues: tuple[str, ...] = ()
    """That the services of the stack use, beside those of the load."""

    @property
    def api(self) -> str:
        """The service with the HTTP API; "" without."""
        return self.request.service if self.request else ""

    @property
    def broker(self) -> str:
        """The service that is the broker."""
        return self.stack.broker

    def targets(self, setup: Setup) -> list[tuple[str, int]]:
        """What the clients of a run have to reach, and so what is published."""
        own = [(s.name, port.target) for s in self.stack.services.values() for port in s.ports]
        extra = [(LEDGER, REDIS_PORT), *([(RESULTS, REDIS_PORT)] if setup.results else [])]
        return [*own, *extra, *([(PROXY, REDIS_PORT), (PROXY, CONTROL_PORT)] if setup.proxy else [])]


def make(original: Mapping[str, Any], setup: Setup, place: Place) -> dict[str, Any]:
    """The document; what it leaves alone is as in the original, variables included."""
    services: dict[str, Any] = copy.deepcopy(dict(original["services"]))
    broker = services[place.broker]
    services[LEDGER] = _redis(broker)
    if setup.results:
        services[RESULTS] = _redis(broker)
    if setup.proxy:
        services[PROXY] = _proxy(services[place.worker], place)
    if place.stock:
        kept = {place.broker, place.worker, LEDGER, *([RESULTS] if setup.results else [])}
        kept |= {PROXY} if setup.proxy else set()
        services = {name: service for name, service in services.items() if name in kept}
    needed = [name for name in (place.broker, LEDGER, RESULTS, PROXY) if name in services]
    for name, service in services.items():
        if name not in needed:
            mounted = mount.WORKBENCH if name == place.worker else ""
            _connect(service, needed, _environment(setup, place) | {mount.VARIABLE: mounted})
        service["stop_grace_period"] = f"{GRACE_SECONDS}s"
        service.pop("ports", None)
        if mine := [f"127.0.0.1:{host}:{target}" for (of, target), host in place.ports.items() if of == name]:
            service["ports"] = mine
    if place.stock:
        _stock(services[place.worker], place)
    services[place.worker]["scale"] = 1 if setup.clocks else WORKERS
    _worker(services, setup, place)
    services[place.broker] = _broker(broker, setup, place)
    if setup.proxy:
        services[PROXY]["depends_on"] = {place.broker: {"condition": "service_healthy"}}
    document = {key: value for key, value in original.items() if not key.startswith("x-") or key == "x-devctl"}
    extension = {key: value for key, value in document["x-devctl"].items() if key in ("broker", "workers", "contracts")}
    return {**document, "x-devctl": extension, "services": services}


def _environment(setup: Setup, place: Place) -> dict[str, str]:
    """Said to every service, whatever the user's own shell and .env say."""
    broker = PROXY if setup.proxy else place.broker
    said = {
        "CELERY_BROKER_URL": f"redis://{broker}:{REDIS_PORT}/0",
        "CELERY_RESULT_BACKEND": f"redis://{RESULTS}:{REDIS_PORT}/0" if setup.results else "",
        "CHAOS_LEDGER_URL": f"redis://{LEDGER}:{REDIS_PORT}/0",
    }
    if place.stock:
        return {**said, **({"STOCK_RESULTS": said.pop("CELERY_RESULT_BACKEND")} if setup.results else {})}
    return {
        **said,
        "CELERY_LEASE_SECONDS": str(LEASE_SECONDS),
        "CELERY_MAX_STARTS": str(MOST_STARTS),
        "CELERY_QUEUE_BOUND": str(BOUND),
        "CELERY_DEAD_LETTER_BOUND": str(BOUND),
        "WORKER_MAX_RUN_SECONDS": str(setup.max_run_seconds),
        "WORKER_STOP_SECONDS": str(GRACE_SECONDS - 5),
        "WORKER_CONCURRENCY": "2",
        "WORKER_POOL": setup.pool,
    }


def _connect(service: dict[str, Any], needed: list[str], said: Mapping[str, str]) -> None:
    given = normal.pairs(service.get("environment"), ("environment",))
    service["environment"] = {**given, **said}
    service["depends_on"] = {name: {"condition": "service_healthy"} for name in needed}


def _redis(broker: Mapping[str, Any]) -> dict[str, Any]:
    """Another Redis, of the broker's image and with its rights; it keeps nothing."""
    other = copy.deepcopy(dict(broker))
    other.pop("volumes", None)
    other["command"] = ["redis-server", "--save", "", "--appendonly", "no"]
    return other


def _proxy(worker: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Our proxy, in the worker's image: Python is all that it needs."""
    proxy = copy.deepcopy({k: v for k, v in worker.items() if k not in ("environment", "deploy", "scale")})
    listen, control = f"0.0.0.0:{REDIS_PORT}", f"0.0.0.0:{CONTROL_PORT}"  # in a container, or rewritten
    options = ["--listen", listen, "--to", f"{place.broker}:{REDIS_PORT}", "--control", control]
    proxy["command"] = _program(proxy, "proxy", place, options)
    health = ["CMD", "python", "-m", "celeriac.health", "http", f"http://127.0.0.1:{CONTROL_PORT}/health"]
    proxy["healthcheck"] = {**(worker.get("healthcheck") or {}), "test": health}
    return proxy


def _stock(worker: dict[str, Any], place: Place) -> None:
    worker["command"] = _program(worker, "stock", place, list(QUEUES))
    worker.pop("healthcheck", None)
    kept = ("CELERY_BROKER_URL", "CHAOS_LEDGER_URL", "STOCK_RESULTS")
    worker["environment"] = {key: value for key, value in worker["environment"].items() if key in kept}


def _program(service: dict[str, Any], name: str, place: Place, options: list[str]) -> list[str]:
    """The command line of a program of ours; in a container its file is mounted."""
    if place.runtime == "local":
        return ["python", "-m", f"devctl.chaos.{name}", *options]
    service["volumes"] = [f"{place.programs}/{name}.py:/chaos/{name}.py:ro"]
    return ["python", f"/chaos/{name}.py", *options]


def _worker(services: dict[str, Any], setup: Setup, place: Place) -> None:
    worker = services[place.worker]
    if setup.memory and place.runtime == "local":
        limited = f"ulimit -v {ADDRESS_SPACE_KB}; exec {shlex.join(worker['command'])}"
        worker["command"] = ["sh", "-c", limited]
    elif setup.memory:
        worker["mem_limit"] = CONTAINER_MEMORY
    if setup.clocks:
        services[BEHIND] = copy.deepcopy(worker)
        for service, by in ((worker, AHEAD), (services[BEHIND], BEHIND_BY)):
            service["environment"] |= {
                "LD_PRELOAD": place.faketime,
                "FAKETIME": by,
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # time-outs are not what this is about
                "DONT_FAKE_MONOTONIC": "1",
                "PYTHONPATH": f"{place.programs}/patches",
            }


def _broker(broker: dict[str, Any], setup: Setup, place: Place) -> dict[str, Any]:
    if setup.synced:
        broker["command"] = [*_words(broker), "--appendonly", "yes", "--appendfsync", "always"]
    if setup.small_disk:
        _small_disk(broker, place)
    return broker


def _words(broker: Mapping[str, Any]) -> list[str]:
    given = broker.get("command") or ["redis-server"]
    return shlex.split(given) if isinstance(given, str) else [str(word) for word in given]


def _small_disk(broker: dict[str, Any], place: Place) -> None:
    """Its data on a disk of its own that is soon full. Here in a mount namespace, which ends with its process."""
    broker.pop("volumes", None)
    if place.runtime != "local":
        broker["tmpfs"] = [*(broker.get("tmpfs") or []), f"{DISK}:mode=1777,size={DISK_MEGABYTES}m"]
        broker["command"] = [*broker["command"], "--dir", DISK]
        return
    options = [str(word) for word in broker["command"][1:]]
    mount = f'mount -t tmpfs -o size={DISK_MEGABYTES}m tmpfs "$$0" && cd "$$0" && exec "$$@"'
    ours = ["--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--dir", "."]
    broker["command"] = ["unshare", "--mount", "sh", "-c", mount, place.disk, place.redis, *options, *ours]
    test = ["CMD", "python", "-c", _PING, f"127.0.0.1:{REDIS_PORT}"]
    broker["healthcheck"] = {**(broker.get("healthcheck") or {}), "test": test}
