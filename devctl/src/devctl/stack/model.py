"""The stack as the Compose file describes it: values only, no engine and no process."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devctl.errors import UsageError

MOST_REPLICAS = 100
"""Of a service: a worker needs some 50 MB, and a machine has tens of them, not thousands."""


@dataclass(frozen=True)
class Port:
    """One published port: `host_ip:published -> target`; published 0 means "any free one"."""

    target: int
    published: int
    host_ip: str = "127.0.0.1"
    protocol: str = "tcp"


@dataclass(frozen=True)
class HealthCheck:
    """Compose's healthcheck; durations in seconds. `test` keeps its CMD or CMD-SHELL head."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


@dataclass(frozen=True)
class Build:
    """Where an image is built from."""

    context: Path
    dockerfile: str = "Dockerfile"
    additional_contexts: Mapping[str, Path] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


@dataclass(frozen=True)
class Watch:
    """One entry of `develop: watch:`: what happens to a service when files under a path change."""

    path: Path
    action: str
    """sync, sync+restart, restart, rebuild, …"""
    target: str = ""
    """Where the path is in the container, for the actions that sync."""
    ignore: tuple[str, ...] = ()
    """Patterns as in a .dockerignore, relative to the path."""


@dataclass(frozen=True)
class Mount:
    """One entry of `volumes:` of a service."""

    kind: str
    """bind, volume, tmpfs, …"""
    source: str
    """A path of this machine, the name of a volume, or "" for one without a name."""
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Service:
    """One Compose service."""

    name: str
    image: str = ""
    build: Build | None = None
    command: tuple[str, ...] = ()
    """`entrypoint:` and `command:` in one; what neither says, the image does."""
    entrypoint: tuple[str, ...] | None = None
    """`entrypoint:` alone; None: the image's, (): none, the image's is switched off."""
    arguments: tuple[str, ...] | None = None
    """`command:` alone; None: the image's."""
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    container_name: str = ""
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    depends_on: Mapping[str, str] = field(default_factory=dict)
    """Service -> condition (service_started, service_healthy, service_completed_successfully)."""
    optional: frozenset[str] = frozenset()
    """Those of them that it can do without (`required: false`)."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Name that it calls another service by -> that service."""
    aliases: tuple[str, ...] = ()
    """Names that others may call it by, besides its own."""
    profiles: tuple[str, ...] = ()
    """Empty: it starts with all others; else when it is named, or one of its profiles is asked for."""
    healthcheck: HealthCheck | None = None
    replicas: int = 1
    restart: str = "no"
    stop_grace_seconds: float = 10.0
    missing_env_files: tuple[Path, ...] = ()
    """Required files of `env_file:` that are not there: what they set is unknown, and the service cannot be started."""
    watch: tuple[Watch, ...] = ()
    unmodelled: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the service that stand in the file and that nothing above holds, with their values, keys of keys with a
    dot (`deploy.resources`): a runtime of ours must say so."""


@dataclass(frozen=True)
class Stack:
    """All services, and what Compose has no word for (the top-level `x-devctl`)."""

    name: str
    """The Compose project name."""
    services: Mapping[str, Service]
    broker: str
    """The service that is the Celery broker; "" where nothing says it, or where it is outside the file."""
    workers: tuple[str, ...]
    """The services that `bench` scales."""
    aliases: Mapping[str, str]
    contracts: str
    """The Python module whose CONTRACTS are the task contracts; "" without."""
    demo: Mapping[str, Any] = field(default_factory=dict)
    """The request that `devctl demo` sends: service, port, request, body."""
    lasting: tuple[str, ...] = ()
    """Services that go on until they are stopped, by what was found of them: whatever they exit with is a failure."""
    logfiles: Mapping[str, str] = field(default_factory=dict)
    """Service -> the file in its container that its worker writes its log to, and not to the container's."""
    telling: tuple[str, ...] = ()
    """Services whose worker says in its log when it is ready, as the level of its command line has it."""
    isolated: bool = False
    """Beside the checkout's own: its ports are any free ones, its containers have no names of the file's."""
    profiles: tuple[str, ...] = ()
    """Those that were asked for (COMPOSE_PROFILES)."""

    @property
    def enabled(self) -> list[str]:
        """The services that start where none is named: those without a profile, or with one that was asked for."""
        asked = {*self.profiles}
        every = "*" in asked
        return [name for name, one in self.services.items() if not one.profiles or every or asked & {*one.profiles}]

    @property
    def broker_port(self) -> int:
        """The port that the broker listens on where it runs."""
        ports = self.services[self.broker].ports
        return ports[0].target if ports else 6379

    def may_end(self, name: str) -> bool:
        """Whether it is a job, such as a migration: exit 0 is well done. Of any other service, it is a failure."""
        service = self.services[name]
        if self.must_end(name):
            return True
        again = service.restart.partition(":")[0] not in ("no", "on-failure")
        serves = bool(service.ports or service.healthcheck) or name in (self.broker, *self.workers, *self.lasting)
        return not (again or serves)

    def must_end(self, name: str) -> bool:
        """Whether another service waits until it is done."""
        return any(one.depends_on.get(name) == "service_completed_successfully" for one in self.services.values())

    def setting(self, variable: str) -> str:
        """Return what the services are told, the workers first; "" where none of them is."""
        order = [*self.workers, *(name for name in self.services if name not in self.workers)]
        found = (self.services[name].environment.get(variable, "") for name in order if name in self.services)
        return next((value for value in found if value), "")

    def resolve(self, names: Iterable[str]) -> list[str]:
        """Turn names and aliases into service names, in order, once each; UsageError for an unknown one."""
        found: dict[str, None] = {}
        for name in names:
            service = self.aliases.get(name, name)
            if service not in self.services:
                near = difflib.get_close_matches(name, [*self.services, *self.aliases], n=1)
                raise UsageError(
                    f"no service {name!r} in the Compose file" + (f": did you mean {near[0]}?" if near else ""),
                    hint="services: " + ", ".join(self.services),
                )
            found[service] = None
        return list(found)

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Return the services that are meant: these, and where none is named all that start by themselves."""
        if found := self.resolve(names) or self.enabled:
            return found
        profiles = dict.fromkeys(profile for one in self.services.values() for profile in one.profiles)
        raise UsageError(
            "every service has a profile in the Compose file: none starts without being named",
            hint=f"devctl up SERVICE, one of: {', '.join(self.services)}\n"
            f"or all of a profile: COMPOSE_PROFILES={next(iter(profiles), '*')} devctl up",
        )

    def scale(self, texts: Iterable[str]) -> dict[str, int]:
        """Return service -> replicas of `worker=4` and the like; UsageError for what is no such thing."""
        counts = {}
        for text in texts:
            name, _, number = text.partition("=")
            if not name or not number.isascii() or not number.isdigit():
                example = f"SERVICE=N, such as {next(iter(self.workers), 'worker')}=4"
                raise UsageError(f"{text!r} is not SERVICE=N", hint=example)
            if int(number) > MOST_REPLICAS:
                raise UsageError(
                    f"{text}: {MOST_REPLICAS} replicas are the most that a service can have",
                    hint=f"{name}={MOST_REPLICAS}, or fewer",
                )
            counts[self.resolve([name])[0]] = int(number)
        return counts

    def check_scale(self, name: str, replicas: int) -> None:
        """Refuse more than one replica of a service that is there once: it publishes a fixed port, or has a name."""
        service = self.services[name]
        fixed = [port.published for port in service.ports if port.published]
        if replicas <= 1 or self.isolated:
            return
        if fixed:
            others = ", ".join(worker for worker in self.workers if worker != name)
            raise UsageError(
                f"{name} cannot have {replicas} replicas: it publishes the fixed port {fixed[0]}",
                hint=f"{f'scale one without a fixed port: {others}, or' if others else 'scale'} in a stack of its own, "
                f"on free ports: devctl up {name} --isolated --scale {name}={replicas}",
            )
        if service.container_name:
            raise UsageError(
                f"{name} cannot have {replicas} replicas: container_name gives its container a name, "
                "and a name is there once",
                hint=f"remove `container_name: {service.container_name}` from the Compose file, or in a stack of its "
                f"own: devctl up {name} --isolated --scale {name}={replicas}",
            )

    def closure(self, names: Iterable[str]) -> list[str]:
        """The services and all they depend on, dependencies first."""
        return [name for level in self.levels(names) for name in level]

    def levels(self, names: Iterable[str]) -> list[list[str]]:
        """The closure in start order: each level needs only levels before it. A cycle never gets here (file.py)."""
        depth: dict[str, int] = {}

        def visit(name: str) -> int:
            if name not in depth:
                depth[name] = 1 + max((visit(d) for d in self.services[name].depends_on), default=-1)
            return depth[name]

        for name in names:
            visit(name)
        return [
            [name for name in self.services if depth.get(name) == level]
            for level in range(max(depth.values(), default=-1) + 1)
        ]
