"""The compose runtime."""

from __future__ import annotations

import heapq
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import foreground, identity, movable, refusal
from devctl.stack.compose import containers, problems, usage
from devctl.stack.compose.client import Client, Failed, following
from devctl.stack.compose.images import Fingerprints, Images, name_of
from devctl.stack.compose.mounts import Ran, mounts, override
from devctl.stack.compose.own_file import OwnFile
from devctl.stack.compose.project import Project
from devctl.stack.engine import Away, Daemon
from devctl.stack.file import read
from devctl.stack.model import Service, Stack
from devctl.stack.port import BuildProgress, LogLine, Replica, Usage
from devctl.stack.ports import any_free

REACH_SECONDS = 0.5  # a container of this machine answers in a millisecond
_RUN = "devctl.run"  # on the container of a `devctl run`: its service


class ComposeRuntime:
    """The services as containers of one Compose project."""

    name = "compose"

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self.stack = stack
        self._settings = settings
        self._client = Client(
            identity.files(settings),
            settings.root,
            stack.name,
            identity.overrides(settings),
            identity.env_files(settings),
        )
        self._daemon = Daemon.find()
        self._project = Project(stack, settings.root, self._client, self._daemon)
        self._live: dict[str, Service] = {}
        """Those that run from mounted folders."""
        self._ran = Ran(identity.state_dir(settings) / "live.json")
        self._images = Images(stack, self._client, Fingerprints(settings.state / "builds.json"), self._context)
        self._own_file = OwnFile(settings, self._client) if stack.isolated else None

    @classmethod
    def open(cls, settings: Settings) -> ComposeRuntime:
        """The runtime over the stack of the Compose file; asks nothing of the engine."""
        return cls(settings, read(settings))

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """`docker compose build`, or `docker pull` for those without a build."""
        self._settings.make_state()
        self._renew()
        self._images.make(services, emit)
        self._project.make_anew()

    def missing_images(self, services: Sequence[str]) -> list[str]:
        """Those without an image, and those whose sources changed since it was built."""
        return self._images.missing(services)

    def buildable(self, services: Sequence[str]) -> list[str]:
        """Those with a build."""
        return [name for name in services if self.stack.services[name].build]

    def refusal(self, service: str) -> DevctlError | None:
        """Compose starts nothing while an env_file of a service that counts is not there."""
        for name in dict.fromkeys([service, *self.stack.enabled]):
            if missing := self.stack.services[name].missing_env_files:
                return refusal.missing(missing[0], name)
        return None

    def remarks(self, services: Sequence[str]) -> list[str]:
        """Nothing is left out."""
        return []

    def live(self, services: Sequence[str]) -> None:
        """Mount what `develop: watch:` gives a target; a service without that is built again after a change.

        So it is with an engine on another machine, which cannot mount what lies here.
        """
        if self._daemon is None:
            return
        self._live = {name: self.stack.services[name] for name in services if mounts(self.stack.services[name])}
        if self._live:
            identity.create(self._settings, identity.overrides(self._settings))
            file = identity.state_dir(self._settings) / "live.yml"
            file.write_text(json.dumps(override(list(self._live.values()))), encoding="utf-8")
            self._client.add(file)
            self._images.mounted(list(self._live))

    def prepare(self, services: Sequence[str], scale: Mapping[str, int]) -> None:
        """Make the containers of all of them in one call."""
        self._renew(services)
        before = self._project.containers()
        with self._refusals(services):
            self._project.make(services, scale)
        self._images.clear({c.image for c in before} - {c.image for c in self._project.containers()})

    def start(self, *services: str, replicas: int | None = None) -> None:
        """Start the containers of these services; make them, where that was not prepared."""
        self._renew(services)
        live = [self._live[name] for name in services if name in self._live]
        codes = self._ran.codes(live)
        outdated = [service.name for service in live if not self._ran.current(service)]
        with self._refusals(services):
            self._project.start(services, replicas, outdated)
            self._ran.note(codes)

    def status(self) -> list[Replica]:
        """All replicas, asked of the engine itself: a few milliseconds."""
        return [container.replica for container in self._project.containers()]

    def stale(self) -> list[str]:
        """Those whose image is older than its sources, and those whose container has another image than that."""
        services = self.stack.services
        here = [c for c in self._project.containers() if c.running and c.replica.service in services]
        live = {c.replica.service for c in here if c.live}
        images = {c.replica.service: c.image for c in here if not c.live}
        older = {name for name in live if not self._ran.current(services[name])}
        older |= {*self._images.older(images, list(images))}
        return [name for name in services if name in older]

    def usage(self) -> Mapping[str, Usage]:
        """CPU and memory of what runs; a quarter of a second for two samples."""
        running = [c for c in self._project.containers() if c.running]
        if not running:
            return {}
        ids = [c.id for c in running]
        if self._daemon:
            with suppress(Away):
                found = usage.measure(self._daemon, ids)
                return {c.replica.name: found[c.id] for c in running if c.id in found}
        found = usage.parse(
            self._client.docker("stats", "--no-stream", "--format", "{{json .}}", *(c.id for c in running))
        )
        return {c.replica.name: found[c.name] for c in running if c.name in found}

    def stop(self, services: Sequence[str] | None = None, *, volumes: bool = False) -> None:
        """`docker compose rm --stop`, or `down` for all of it; the images of an isolated stack have no other use."""
        present = self._project.containers()
        self._take()
        with self._explained("docker compose down"), self._client.changing(everything=True) as whales:
            if services is None:
                images = "local" if self._settings.stack else None
                whales.compose.down(remove_orphans=True, volumes=volumes, remove_images=images, quiet=True)
                identity.forget_runtime(self._settings, self.name)
                self._images.clear(c.image for c in present)
            elif names := sorted({c.replica.service for c in present} & set(services)):
                whales.compose.rm(names, stop=True)

    def restart(self, services: Sequence[str]) -> None:
        """`docker restart` for the containers of these alone."""
        present = [c for c in self._project.containers() if c.replica.service in services]
        live = {c.replica.service for c in present if c.live} & {*self.stack.services}
        codes = self._ran.codes([self.stack.services[name] for name in live])
        with self._explained("docker restart"):
            self._project.restart([c.id for c in present])
        self._ran.note(codes)

    def run(
        self, service: str, debug_port: int | None = None, tell: Callable[[Sequence[str]], None] = lambda ports: None
    ) -> int:
        """`docker compose run`, with the names and the ports of a replica."""
        self._renew([service])
        command: list[str] = []
        ports = [
            (
                f"{f'[{port.host_ip}]' if ':' in port.host_ip else port.host_ip}:{port.published or any_free()}",
                f"{port.target}/{port.protocol}",
            )
            for port in self.stack.services[service].ports
        ]
        tell([f"{host}->{target.partition('/')[0]}" for host, target in ports])
        if debug_port is not None:
            command = self._with_debugpy(service, debug_port)
            ports.append((f"127.0.0.1:{debug_port}", str(debug_port)))
        from python_on_whales import DockerException

        with (
            foreground.same_terminal(),
            foreground.interruptible() as interrupts,
            self._client.changing(terminal=True) as whales,
        ):
            try:
                whales.compose.run(
                    service,
                    command,
                    envs={**foreground.of_the_terminal({}), "PYTHONUNBUFFERED": "1"},
                    tty=True,
                    dependencies=False,
                    labels={_RUN: service},
                    publish=ports,
                    remove=True,
                    use_aliases=True,
                )
            except DockerException as ended:
                return foreground.INTERRUPTED if interrupts else int(ended.return_code)
        return foreground.INTERRUPTED if interrupts else 0

    def check_debugpy(self, service: str) -> None:
        """Ask the Python of its image."""
        self._renew([service])
        python = self._python(service)
        self._project.containers()
        try:
            with self._client.changing() as whales:
                whales.compose.run(
                    service, [python, "-c", "import debugpy"], tty=False, dependencies=False, remove=True
                )
        except Failed as without:
            raise DevctlError(
                f"the image of {service} has no debugpy",
                details=without.errors.strip().splitlines()[-1:],
                hint=f"on this machine, without containers: devctl run {service} --debugpy PORT --runtime local",
            ) from without

    def in_terminal(self) -> list[str]:
        """Those whose container has the label."""
        filters = (f"--filter=label={containers.PROJECT}={self.stack.name}", f"--filter=label={_RUN}")
        found = self._client.docker("ps", *filters, "--format", f'{{{{.Label "{_RUN}"}}}}').split()
        return [service for service in self.stack.services if service in found]

    def end_run(self, service: str) -> None:
        """Stop the container that a devctl which was killed had in its terminal; it was made with --rm."""
        labels = [f"label={containers.PROJECT}={self.stack.name}", f"label={_RUN}={service}"]
        ids = self._client.docker("ps", "--all", "--quiet", *(f"--filter={label}" for label in labels)).split()
        if ids:
            with self._explained("docker stop"), self._client.changing() as whales:
                whales.container.stop(ids)

    def _with_debugpy(self, service: str, port: int) -> list[str]:
        words = self.stack.services[service].command[1:]
        return [self._python(service), "-m", "debugpy", "--listen", f"0.0.0.0:{port}", "--wait-for-client", *words]

    def _python(self, service: str) -> str:
        words = list(self.stack.services[service].command)
        if not words or not re.fullmatch(r"(?:.*/)?python[\d.]*", words[0]):
            raise DevctlError(
                f"the command of {service} in the Compose file does not call python: debugpy cannot run it",
                hint=f"without it: devctl run {service}{self._context.option}",
            )
        return words[0]

    @contextmanager
    def logs(
        self, services: Sequence[str], *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> Iterator[Iterator[LogLine]]:
        """`docker logs` of each container, merged by time; to follow, `docker compose logs`, which sees new ones come.

        Not through python-on-whales: its streams leave docker running after their reader is gone.
        """
        options = ["--timestamps"]
        options += [f"--since={since:.6f}"] if since is not None else []
        options += [f"--tail={tail}"] if tail is not None else []
        present = [c for c in self._project.containers() if c.replica.service in services]
        with ExitStack() as running:

            def told(*command: str) -> Iterator[str]:
                return running.enter_context(following(command, environment=self._client.environment))

            if follow:
                self._take()
                names = {c.name: c.replica.name for c in present}
                lines = told(*self._client.compose, "logs", "--follow", "--no-color", *options, *services)
                yield containers.log_lines(lines, names)
            else:
                logs = [containers.log_lines_of_one(told("docker", "logs", *options, c.id), c.replica) for c in present]
                yield heapq.merge(*logs, key=lambda line: line.time or 0.0)

    def tail(self, replica: str, path: str, lines: int) -> tuple[str, ...]:
        """Copy it out of the container, volumes included."""
        found = [c for c in self._project.containers() if c.replica.name == replica]
        text = self._client.file(found[0].id, path).decode(errors="replace") if found else ""
        return tuple(text.splitlines()[-lines:])

    def address(self, service: str, target: int) -> tuple[str, int]:
        """The published port of the first replica; else that of its container, where this machine reaches it."""
        there = [one for one in self._project.containers() if one.replica.service == service]
        present = [one for one in there if one.replica.state in ("running", "paused")]
        for text in (text for one in present for text in one.replica.ports):
            published, _, inside = text.partition("->")
            if inside == str(target):
                host, _, port = published.rpartition(":")
                return ("127.0.0.1" if host == "0.0.0.0" else host), int(port)  # noqa: S104  # as Docker says it
        for address in (address for one in present for address in one.addresses):
            if _accepts(address, target):
                return address, target
        if not present:
            raise DevctlError(f"{service} does not run", hint=f"devctl up {service}{self._context.option}")
        raise DevctlError(
            f"{service} publishes no port {target}, and its container cannot be reached from here",
            hint=f'ports: ["127.0.0.1:0:{target}"] for {service} in docker-compose.override.yml',
        )

    def _renew(self, services: Sequence[str] = ()) -> None:
        """Where the stack is isolated, write its own file from what the checkout's says now."""
        if self._own_file:
            with self._explained("docker compose config"):
                self._own_file.renew(services)

    def _take(self) -> None:
        """Where the stack is isolated, take the file that it was made with."""
        if self._own_file:
            with self._explained("docker compose config"):
                self._own_file.take()

    @contextmanager
    def _refusals(self, services: Sequence[str]) -> Iterator[None]:
        """Note where the stack runs; explain what is refused, and leave nothing half-made."""
        self._project.containers()  # another checkout's are an error before anything is noted
        identity.remember_runtime(self._settings, self.name)
        try:
            yield
        except Failed as refused:
            self._project.sweep()
            raise problems.start(services, refused.errors, self._context) from refused

    @contextmanager
    def _explained(self, call: str) -> Iterator[None]:
        """Say what was tried where it is refused."""
        try:
            yield
        except Failed as failed:
            raise problems.call(call, failed.errors) from failed

    @cached_property
    def _context(self) -> problems.Context:
        option = self._settings.option
        builds = {name_of(self.stack, name): name for name, service in self.stack.services.items() if service.build}
        return problems.Context(variable=self._variable, holder=self._holder, option=option, builds=builds)

    def _variable(self, value: str) -> str:
        """Return the variable of the Compose files that moves this port, or that has this value now; "" for none."""
        if value.isdigit():
            moving = movable.variables(self._settings)
            services = self.stack.services.values()
            places = ((s.name, port.target) for s in services for port in s.ports if str(port.published) == value)
            return next((moving[place] for place in places if place in moving), "")
        environment = identity.interpolation(self._settings)
        text = "\n".join(file.read_text(encoding="utf-8") for file in identity.files(self._settings))
        for name, default in re.findall(r"\$\{(\w+):?-([^{}]*)\}", text):
            if value in (set_ := environment.get(name) or default, f"{set_}:latest"):
                return str(name)
        return ""

    def _holder(self, port: int) -> str:
        names = self._client.docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").split()
        return names[0] if names else ""


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=REACH_SECONDS):
            return True
    except OSError:
        return False
