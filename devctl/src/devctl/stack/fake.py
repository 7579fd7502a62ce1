"""A runtime in memory: services that behave as a script says, on any clock. Tests use it, and so can yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from devctl.clock import Clock, FakeClock
from devctl.errors import DevctlError
from devctl.stack.model import Service, Stack
from devctl.stack.port import BuildProgress, Health, LogLine, Replica, State, Usage


@dataclass(frozen=True)
class Behaviour:
    """What a service does after each of its starts. By default: ready after half a second, running for ever."""

    healthy_after: float | None = 0.5
    """None: never."""
    exits_after: float | None = None
    exit_code: int = 1
    back_off: float = 1.0
    """Between an exit and the next start, where the restart policy asks for one."""
    logs: tuple[str, ...] = ()
    """Written at each start."""
    health_output: str = "not ready yet"
    """What its health check says until it is healthy."""
    degraded: str = ""
    """Why it does less than it should, once it is healthy."""
    refuses: DevctlError | None = None
    """Raised by `start`: a port in use, a missing binary."""
    build_error: DevctlError | None = None
    image_missing: bool = False


@dataclass
class _Process:
    number: int
    begun: float
    restarts_before: int = 0
    ports: dict[int, int] = field(default_factory=dict)


class FakeRuntime:
    """The runtime port without engine and processes. Change `behaviours` between calls to script a story."""

    name = "fake"

    def __init__(
        self, stack: Stack, behaviours: Mapping[str, Behaviour] | None = None, clock: Clock | None = None
    ) -> None:
        self.stack = stack
        self.behaviours = dict(behaviours or {})
        self.clock = clock or FakeClock()
        self.calls: list[str] = []
        """What was asked for, in order: `start redis`, `start worker=4`, `build worker`, `stop`, …"""
        self._running: dict[str, list[_Process]] = {}
        self.changed: set[str] = set()
        """Services whose code is another one since they started; a start takes them out."""
        self.files: dict[tuple[str, str], tuple[str, ...]] = {}
        """Replica and path -> the lines of a file."""
        self._built: set[str] = set()
        self._lines: list[LogLine] = []
        self._next_port = 49_152

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """Say one line per service, or fail as the script says."""
        self.calls.append("build " + " ".join(services))
        for service in services:
            emit(BuildProgress(service, "RUN the build"))
            if error := self._behaviour(service).build_error:
                raise error
            self._built.add(service)

    def missing_images(self, services: Sequence[str]) -> list[str]:
        """Those the script calls missing, until they are built."""
        return [name for name in services if self._behaviour(name).image_missing and name not in self._built]

    def buildable(self, services: Sequence[str]) -> list[str]:
        """Those with a build."""
        return [name for name in services if self._service(name).build]

    def refusal(self, service: str) -> DevctlError | None:
        """Nothing is refused."""
        return None

    def remarks(self, services: Sequence[str]) -> list[str]:
        """Nothing is left out."""
        return []

    def live(self, services: Sequence[str]) -> None:
        """There are no copies of files."""

    def prepare(self, services: Sequence[str], scale: Mapping[str, int]) -> None:
        """There is nothing to prepare."""

    def start(self, *services: str, replicas: int | None = None) -> None:
        """Start, in memory."""
        for service in services:
            self.calls.append(f"start {service}" + ("" if replicas is None else f"={replicas}"))
            if error := self._behaviour(service).refuses:
                raise error
            present = self._running.setdefault(service, [])
            wanted = replicas if replicas is not None else len(present) or self._service(service).replicas
            del present[wanted:]
            anew = service in self.changed
            self.changed.discard(service)
            for process in present:
                if anew or self._state(service, process)[0] in ("exited", "restarting"):
                    self._begin(service, process)
            for number in range(len(present) + 1, wanted + 1):
                process = _Process(number, self.clock.now())
                self._begin(service, process)
                present.append(process)

    def status(self) -> list[Replica]:
        """What the script makes of the time since the start."""
        return [self._replica(name, process) for name, all_ in self._running.items() for process in all_]

    def stale(self) -> list[str]:
        """Those that the test put into `changed` and that run."""
        return [name for name in self._running if name in self.changed]

    def usage(self) -> Mapping[str, Usage]:
        """One percent and ten megabytes each."""
        return {r.name: Usage(1.0, 10_000_000) for r in self.status() if r.state == "running"}

    def stop(self, services: Sequence[str] | None = None, *, volumes: bool = False) -> None:
        """Stop and forget; with services None also the log."""
        self.calls.append(" ".join(["stop", *(services or []), *(["--volumes"] if volumes else [])]))
        for name in list(self._running) if services is None else services:
            self._running.pop(name, None)
        if services is None:
            self._lines.clear()

    def restart(self, services: Sequence[str]) -> None:
        """Begin again, all replicas."""
        self.calls.append("restart " + " ".join(services))
        for name in services:
            for process in self._running.get(name, []):
                self._begin(name, process)

    def run(
        self, service: str, debug_port: int | None = None, tell: Callable[[Sequence[str]], None] = lambda ports: None
    ) -> int:
        """Note it, and end at once with the exit code of the script."""
        self.calls.append(f"run {service}" + (f" --debugpy {debug_port}" if debug_port else ""))
        tell([f"127.0.0.1:{port.published or self._next_port}->{port.target}" for port in self._service(service).ports])
        return self._behaviour(service).exit_code

    def check_debugpy(self, service: str) -> None:
        """Everything can be debugged here."""

    def in_terminal(self) -> list[str]:
        """A run ends at once."""
        return []

    def end_run(self, service: str) -> None:
        """Nothing outlives a run here."""

    @contextmanager
    def logs(
        self, services: Sequence[str], *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> Iterator[Iterator[LogLine]]:
        """The lines so far; a follow goes on until its context is left."""
        left = False

        def lines() -> Iterator[LogLine]:
            seen = len(self._lines)
            mine = [line for line in self._lines[:seen] if line.service in services]
            mine = [line for line in mine if since is None or (line.time or 0) >= since]
            yield from mine if tail is None else mine[max(0, len(mine) - tail) :]
            while follow and not left:
                yield from [line for line in self._lines[seen:] if line.service in services]
                seen = len(self._lines)
                self.clock.sleep(0.05)

        try:
            yield lines()
        finally:
            left = True

    def tail(self, replica: str, path: str, lines: int) -> tuple[str, ...]:
        """What the test put into `files`."""
        return self.files.get((replica, path), ())[-lines:]

    def address(self, service: str, target: int) -> tuple[str, int]:
        """The published port; where the file says 0, one of the fake's own."""
        for process in self._running.get(service, []):
            if target in process.ports:
                return "127.0.0.1", process.ports[target]
        raise DevctlError(f"{service} publishes no port {target}, or does not run", hint=f"devctl up {service}")

    def say(self, service: str, text: str, replica: int = 1) -> None:
        """Write a line into a service's log."""
        self._lines.append(LogLine(service, f"{service}-{replica}", text, self.clock.now()))

    def _begin(self, service: str, process: _Process) -> None:
        process.begun, process.restarts_before = self.clock.now(), 0
        for port in self._service(service).ports:
            process.ports.setdefault(port.target, port.published or self._next_port)
            self._next_port += not port.published
        for text in self._behaviour(service).logs:
            self.say(service, text, process.number)

    def _replica(self, service: str, process: _Process) -> Replica:
        state, health, restarts, begun = self._state(service, process)
        behaviour = self._behaviour(service)
        return Replica(
            service=service,
            name=f"{service}-{process.number}",
            state=state,
            health=health,
            exit_code=behaviour.exit_code if state in ("exited", "restarting") else None,
            restarts=restarts,
            started_at=begun,
            ports=tuple(f"127.0.0.1:{published}->{target}" for target, published in process.ports.items()),
            health_output={"starting": behaviour.health_output, "degraded": behaviour.degraded}.get(health, ""),
        )

    def _state(self, service: str, process: _Process) -> tuple[State, Health, int, float]:
        """State, health, restarts and the begin of the present life."""
        behaviour, begun = self._behaviour(service), process.begun
        life = 0
        if behaviour.exits_after is not None:
            policy = self._service(service).restart
            again = policy in ("always", "unless-stopped") or (policy == "on-failure" and behaviour.exit_code != 0)
            if again:
                period = behaviour.exits_after + behaviour.back_off
                life = int((self.clock.now() - begun) / period)
                begun += life * period
            if self.clock.now() - begun >= behaviour.exits_after:
                return ("restarting" if again else "exited"), "none", life, begun
        health: Health = "none"
        if self._service(service).healthcheck:
            ready = behaviour.healthy_after is not None and self.clock.now() - begun >= behaviour.healthy_after
            well: Health = "degraded" if behaviour.degraded else "healthy"
            health = well if ready else "starting"
        return "running", health, life, begun

    def _behaviour(self, service: str) -> Behaviour:
        return self.behaviours.get(service, Behaviour())

    def _service(self, service: str) -> Service:
        return self.stack.services[service]
