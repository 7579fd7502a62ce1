"""The compose runtime: python-on-whales for single calls, our own wrapper for what is followed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException
from python_on_whales.utils import run

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.compose import containers, loglines, problems, usage
from devctl.stack.compose.containers import Container
from devctl.stack.compose.engine import Away, Engine
from devctl.stack.compose.following import following
from devctl.stack.compose.images import Builds, fingerprint
from devctl.stack.file import read
from devctl.stack.model import Stack
from devctl.stack.port import BuildProgress, LogLine, Replica, Usage

_STARTS_AT_A_TIME = 8
_BUILD_STEP = re.compile(r"^#(?P<number>\d+) (?:\[(?P<service>[^\s\]]+) )?")


class ComposeRuntime:
    """The services as containers of one Compose project."""

    name = "compose"

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self.stack = stack
        self._settings = settings
        variables = identity.overrides(settings)
        # An isolated stack's own variables go before those of the shell, which an --env-file would not.
        call = ["env", *(f"{name}={value}" for name, value in variables.items()), "docker"] if variables else ["docker"]
        self._docker = DockerClient(
            client_call=call,
            compose_files=[settings.compose_file],
            compose_project_name=stack.name,
            compose_project_directory=settings.root,
        )
        self._command = [str(word) for word in self._docker.client_config.docker_cmd]
        self._compose = [str(word) for word in self._docker.client_config.docker_compose_cmd]
        self._engine = Engine.find()
        self._builds = Builds(settings.state / "builds.json")

    @classmethod
    def open(cls, settings: Settings) -> ComposeRuntime:
        """The runtime over the stack of the Compose file; asks nothing of the engine."""
        return cls(settings, read(settings))

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """Build those that have a build, pull the others."""
        pulled = [name for name in services if not self.stack.services[name].build]
        built = [name for name in services if self.stack.services[name].build]
        for name in pulled:
            self._pull(name, emit)
        if built:
            prints = {name: fingerprint(build) for name in built if (build := self.stack.services[name].build)}
            self._build(built, emit)
            ids = self._image_ids()
            images = {name: self._image(name) for name in built}
            self._builds.remember({image: (ids[image], prints[n]) for n, image in images.items() if image in ids})

    def missing_images(self, services: Sequence[str]) -> list[str]:
        """Those without an image, and those whose sources changed since it was built."""
        ids = self._image_ids()
        return [name for name in services if not self._current(name, ids)]

    def start(self, *services: str, replicas: int | None = None) -> None:
        """Make the containers as Compose would, then start these services' own.

        `docker compose up --no-deps` would do both, but it cuts `depends_on` out of what a container's configuration
        hash is made of: the next plain `docker compose up` would make every container anew.
        """
        before = self._containers()
        identity.remember_runtime(self._settings, self.name)
        try:
            run([*self._compose, "create", "--no-build", *self._scale(before, services, replicas), *services])
            present = self._containers()
            self._start(self._to_start(before, present, services))
        except DockerException as refused:
            self._sweep(services)
            raise problems.start(services, refused.stderr or "", self._context) from refused

    def status(self) -> list[Replica]:
        """All replicas, asked of the engine itself: a few milliseconds."""
        return [container.replica for container in self._containers()]

    def usage(self) -> Mapping[str, Usage]:
        """CPU and memory of what runs; a quarter of a second for two samples."""
        running = [c for c in self._containers() if c.replica.state == "running"]
        if not running:
            return {}
        if self._engine:
            with suppress(Away):
                found = usage.measure(self._engine, [c.id for c in running])
                return {c.replica.name: found[c.id] for c in running if c.id in found}
        found = usage.parse(self._call("stats", "--no-stream", "--format", "{{json .}}", *(c.id for c in running)))
        return {c.replica.name: found[c.name] for c in running if c.name in found}

    def stop(self, services: Sequence[str] | None = None, *, volumes: bool = False) -> None:
        """`docker compose rm --stop`, or `down` for all of it."""
        present = self._containers()
        try:
            if services is None:
                self._docker.compose.down(remove_orphans=True, volumes=volumes, quiet=True)
                identity.remember_runtime(self._settings, "")
            elif names := sorted({c.replica.service for c in present} & set(services)):
                self._docker.compose.rm(names, stop=True, volumes=volumes)
        except DockerException as failed:
            raise self._failed("stopping", failed) from failed

    def restart(self, services: Sequence[str]) -> None:
        """`docker compose restart` for these alone."""
        self._containers()
        try:
            run([*self._compose, "restart", "--no-deps", *services])
        except DockerException as failed:
            raise self._failed("restarting", failed) from failed

    @contextmanager
    def logs(
        self, services: Sequence[str], *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> Iterator[Iterator[LogLine]]:
        """`docker compose logs`; by time where it does not follow (Compose prints container by container)."""
        options = ["--timestamps", "--no-color"]
        options += ["--follow"] if follow else []
        options += [f"--since={since:.6f}"] if since is not None else []
        options += [f"--tail={tail}"] if tail is not None else []
        names = {c.name: c.replica.name for c in self._containers()}
        command = [*self._compose, "logs", *options, *services]
        with following(command) as lines:
            found = loglines.parse(lines, names)
            yield found if follow else iter(sorted(found, key=lambda line: line.time or 0.0))

    def address(self, service: str, target: int) -> tuple[str, int]:
        """The published port of the first replica."""
        for replica in self.status():
            if replica.service != service:
                continue
            for text in replica.ports:
                published, _, inside = text.partition("->")
                if inside == str(target):
                    host, _, port = published.rpartition(":")
                    return ("127.0.0.1" if host == "0.0.0.0" else host), int(port)  # noqa: S104  # as Docker says it
        raise DevctlError(
            f"{service} is not up, or publishes no port {target}", hint=f"devctl up {service}{self._context.option}"
        )

    # -- containers --

    def _scale(self, present: Sequence[Container], services: Sequence[str], replicas: int | None) -> Iterator[str]:
        """Say how many are wanted where that is not the file's number: without it, Compose goes back to that."""
        for name, service in self.stack.services.items():
            count = sum(container.replica.service == name for container in present)
            if replicas is not None and name in services:
                yield f"--scale={name}={replicas}"
            elif count and count != service.replicas:
                yield f"--scale={name}={count}"

    def _to_start(
        self, before: Sequence[Container], present: Sequence[Container], services: Sequence[str]
    ) -> list[Container]:
        """Those asked for, and dependencies that ran and that Compose made anew; new ones that nobody asked for go."""
        known = {container.id for container in before}
        ran = {container.replica.service for container in before if container.replica.state == "running"}
        idle = [container for container in present if container.replica.state in ("created", "exited")]
        mine = [c for c in idle if c.replica.service in services or (c.id not in known and c.replica.service in ran)]
        if superfluous := [c.id for c in idle if c not in mine and c.id not in known]:
            self._call("rm", "--force", *superfluous)
        return mine

    def _start(self, idle: Sequence[Container]) -> None:
        """`docker start`, all at the same time: one call for several starts them one after the other."""
        if not idle:
            return
        with ThreadPoolExecutor(max_workers=min(len(idle), _STARTS_AT_A_TIME)) as pool:
            for started in [pool.submit(run, [*self._command, "start", container.id]) for container in idle]:
                started.result()

    # -- images --

    def _image(self, service: str) -> str:
        name = self.stack.services[service].image or f"{self.stack.name}-{service}"
        return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"

    def _image_ids(self) -> dict[str, str]:
        """Image name -> id, of all that are here."""
        lines = self._call("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def _current(self, service: str, ids: Mapping[str, str]) -> bool:
        image, build = self._image(service), self.stack.services[service].build
        if "@" in image:  # by digest: such an image has no name in the list
            return bool(self._call("image", "ls", "--quiet", image))
        if image not in ids:
            return False
        return build is None or self._builds.current(image, ids[image], fingerprint(build))

    def _build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        said: list[str] = []
        owners: dict[str, str] = {}

        def fail(_: int) -> None:
            raise problems.build(services, said, self._context)

        command = [*self._compose, "build", "--progress=plain", *services]
        with following(command, fail) as lines:
            for line in lines:
                said.append(line)
                if step := _BUILD_STEP.match(line):
                    if step["service"] in services:
                        owners[step["number"]] = step["service"]
                    emit(BuildProgress(owners.get(step["number"], ""), line))

    def _pull(self, service: str, emit: Callable[[BuildProgress], None]) -> None:
        said: list[str] = []

        def fail(_: int) -> None:
            raise problems.pull([service], self._image(service), "\n".join(said), self._context)

        command = [*self._command, "pull", self._image(service)]
        with following(command, fail) as lines:
            for line in lines:
                said.append(line)
                emit(BuildProgress(service, line))

    # -- the engine --

    def _call(self, *words: str) -> str:
        try:
            return str(run([*self._command, *words]))
        except DockerException as failed:
            raise self._failed(f"docker {words[0]}", failed) from failed

    def _containers(self) -> list[Container]:
        """The project's containers; DevctlError where they are another checkout's."""
        label = f"{containers.PROJECT}={self.stack.name}"
        inspected = None
        if self._engine:
            with suppress(Away):
                inspected = self._engine.containers(label)
        if inspected is None:
            inspected = self._inspected_by_client(label)
        present = containers.parse(inspected)
        self._refuse_others(present)
        return present

    def _inspected_by_client(self, label: str) -> list[dict[str, Any]]:
        ids = self._call("ps", "--all", "--quiet", "--no-trunc", f"--filter=label={label}").split()
        if not ids:
            return []
        try:
            found = str(run([*self._command, "inspect", *ids]))
        except DockerException as gone:  # one of them went in between: the others are printed all the same
            if problem := problems.engine_gone(gone.stderr or ""):
                raise problem from gone
            found = gone.stdout or "[]"
        return list(json.loads(found))

    def _refuse_others(self, present: Sequence[Container]) -> None:
        root = str(self._settings.root)
        for other in {c.working_dir for c in present} - {root, ""}:
            raise DevctlError(
                f"the containers of project {self.stack.name!r} belong to another checkout: {other}",
                details=("two folders of one name are one project to Compose; devctl does not touch the other's",),
                hint=f"COMPOSE_PROJECT_NAME={self.stack.name}-2 devctl …, or an isolated stack: devctl up --isolated\n"
                f"or end the other one: docker compose -p {self.stack.name} down",
            )

    def _sweep(self, services: Sequence[str]) -> None:
        """Remove containers that were made and never ran: they would be in the way of the next start."""
        halves = [c.id for c in self._containers() if c.replica.service in services and c.replica.state == "created"]
        if halves:
            self._call("rm", "--force", *halves)

    def _failed(self, doing: str, failed: DockerException) -> DevctlError:
        output = failed.stderr or ""
        if gone := problems.engine_gone(output):
            return gone
        return DevctlError(f"{doing} failed: {problems.reason(output)}", hint="devctl doctor")

    @cached_property
    def _context(self) -> problems.Context:
        option = f" --stack {self._settings.stack}" if self._settings.stack else ""
        return problems.Context(variable=self._variable, holder=self._holder, option=option)

    def _variable(self, value: str) -> str:
        """Return the variable of the Compose file that has this value now, or ""."""
        environment = identity.interpolation(self._settings)
        text = self._settings.compose_file.read_text(encoding="utf-8")
        for name, default in re.findall(r"\$\{(\w+):?-([^{}]*)\}", text):
            if (environment.get(name) or default) == value:
                return str(name)
        return ""

    def _holder(self, port: int) -> str:
        names = self._call("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").split()
        return names[0] if names else ""
