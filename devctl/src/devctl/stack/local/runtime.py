"""The runtime port over supervised processes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import file, foreground, identity, logfiles, movable, refusal, rotation
from devctl.stack.local import program, redis, servers, supervisor
from devctl.stack.local.images import Images
from devctl.stack.local.journal import Journal, Life
from devctl.stack.local.place import Place, PortBook, read_json, write_json
from devctl.stack.local.probe import Prober, Subject
from devctl.stack.local.processes import Known, Meter, end, end_alone
from devctl.stack.local.program import Program, Programs
from devctl.stack.local.rewrite import LOOPBACK
from devctl.stack.local.supervisor import Process, Supervisor
from devctl.stack.model import HealthCheck, Stack
from devctl.stack.port import BuildProgress, Health, LogLine, Replica, State, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFTOVER_GRACE_SECONDS = 2.0  # for what an earlier supervisor left behind; Redis needs less to write its file
_BEYOND_GRACE_SECONDS = 3.0  # from a SIGKILL to the supervisor's notice of it


class LocalRuntime:
    """Runs each replica as a process; remembers what it needs in the stack's state."""

    name = "local"

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self.stack = stack
        self._settings = settings
        self._place = Place.of(identity.state_dir(settings))
        self._supervisor = Supervisor(self._place)
        self._journal = Journal(self._place.journal)
        self._prober = Prober()
        self._meter = Meter()
        self._images = Images(settings, stack, self._place)

    @classmethod
    def open(cls, settings: Settings) -> LocalRuntime:
        """Return the runtime over the stack of the Compose file; starts nothing."""
        return cls(settings, file.read(settings))

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """Make the environments of those whose Dockerfile can be followed."""
        with self._place.alone():
            self._place.make()
            self._images.build(services, emit)

    def missing_images(self, services: Sequence[str]) -> list[str]:
        """Those whose environment is not made, or is made from other files."""
        return self._images.missing(services)

    def buildable(self, services: Sequence[str]) -> list[str]:
        """Those that have an environment of their own."""
        known = self.stack.services
        return [name for name in services if not self._images.refusal(known[name]) and self._images.recipe(known[name])]

    def refusal(self, service: str) -> DevctlError | None:
        """A Dockerfile that cannot be followed, an image that is there as a container only, a missing env_file."""
        if missing := self.stack.services[service].missing_env_files:
            return refusal.missing(missing[0], service)
        return self._made(self._place.ports(self.stack)).refusal(self.stack.services[service])

    def remarks(self, services: Sequence[str]) -> list[str]:
        """What was left out of their Dockerfiles and of the Compose file."""
        return self._images.remarks(services)

    def live(self, services: Sequence[str]) -> None:
        """They run from the files of the checkout anyway."""

    def prepare(self, services: Sequence[str], scale: Mapping[str, int]) -> None:
        """There is nothing to prepare."""

    def start(self, *services: str, replicas: int | None = None) -> None:
        """Start, change or leave alone, so that each runs as the Compose file says; all or, on an error, none."""
        self._settings.make_state()
        with self._place.alone():
            if not self._supervised():
                self._end_leftovers()
            self._place.make()
            saved, running = program.saved(self._place), self._supervisor.processes()
            wanted = {p.name: p for name in services for p in self._programs(name, replicas, saved, running)}
            old = {name for name, p in saved.items() if p.service in services}
            lives = self._lives()
            changed = {
                name
                for name in old
                if wanted.get(name) != saved[name] or _in_vain(running.get(name), lives.get(name, Life()))
            }
            if not self._supervisor.answers():
                self._supervisor.launch()
            identity.remember_runtime(self._settings, self.name)
            self._end(changed, saved)
            new = [name for name in wanted if name in changed or name not in running]
            for name in new:
                self._place.temporary(name).mkdir(parents=True, exist_ok=True)
                wanted[name].save(self._place)
            self._supervisor.configure(p.entry for p in program.saved(self._place).values())
            self._supervisor.add(new)
            self._supervisor.start(n for n in wanted if n not in new and not running[n].alive)

    def status(self) -> list[Replica]:
        """Ask the supervisor, its journal, and the health checks that are due."""
        programs = program.saved(self._place)
        if not programs:
            return []
        if not (subjects := list(self._subjects(self._replicas(programs), programs))):
            return self._replicas(programs)
        said = self._prober.look(subjects)  # takes its time: a check may pass and its service be gone by then
        return [self._with_health(replica, said) for replica in self._replicas(programs)]

    def stale(self) -> list[str]:
        """Compare the files of each service that runs with what they were when it started."""
        programs, running = program.saved(self._place), self._supervisor.processes()
        started = {p.service: p for name, p in programs.items() if name in running and running[name].alive}
        services = ((name, self.stack.services[name]) for name in self.stack.services if name in started)
        return [name for name, service in services if not started[name].runs(service)]

    def usage(self) -> Mapping[str, Usage]:
        """Measure the processes and all that they started."""
        replicas = self._replicas(program.saved(self._place))
        return self._meter.read({r.name: r.pid for r in replicas if r.pid and r.state == "running"})

    def stop(self, services: Sequence[str] | None = None, *, volumes: bool = False) -> None:
        """Stop who depends before what is depended on; the supervisor goes with the last one."""
        self._settings.make_state()
        with self._place.alone():
            saved = program.saved(self._place)
            gone = {name for name, p in saved.items() if services is None or p.service in services}
            self._end(gone, saved)
            if self._supervisor.answers():
                self._supervisor.configure(p.entry for p in program.saved(self._place).values())
            if services is None or gone == set(saved):
                self._end_leftovers()
                identity.forget_runtime(self._settings, self.name)
            for name in gone:
                rotation.remove(self._place.log(name))
            if volumes and services is None:
                for service in self.stack.services:
                    shutil.rmtree(self._place.data(service), ignore_errors=True)
                shutil.rmtree(self._place.state / "volumes", ignore_errors=True)

    def restart(self, services: Sequence[str]) -> None:
        """Stop and start the replicas as they are."""
        with self._place.alone():
            saved = program.saved(self._place)
            names = [name for name, p in saved.items() if p.service in services]
            if not names or not self._supervised():
                raise self._beyond_restart(services, saved)
            self._supervisor.stop(names, _patience(saved[name] for name in names))
            self._supervisor.start(names)

    def run(
        self, service: str, debug_port: int | None = None, tell: Callable[[Sequence[str]], None] = lambda ports: None
    ) -> int:
        """Become the parent of its process for as long as it runs."""
        definition = self.stack.services[service]
        with self._place.alone():
            self._place.make()
            book = self._place.ports(self.stack)
            book.make_sure(definition, 1, movable.variables_of(self._settings, service))
            wanted = self._made(book).make(definition, 1)
            self._place.temporary(wanted.name).mkdir(parents=True, exist_ok=True)
        environment = {**wanted.environment, **foreground.of_the_terminal(self._settings.environment)}
        command = wanted.command
        if debug_port is not None:
            command = foreground.with_debugpy(service, command, debug_port, environment)
        note = self._place.run(service)
        tell([f"{LOOPBACK}:{host}->{target}" for target, host in wanted.ports.items()])
        try:
            return foreground.run(
                command,
                environment,
                wanted.folder,
                lambda pid: write_json(note, {"pid": pid, "started_at": time.time()}),
            )
        finally:
            note.unlink(missing_ok=True)

    def check_debugpy(self, service: str) -> None:
        """Ask the Python that its command would take."""
        programs = self._made(self._place.ports(self.stack))
        wanted = programs.make(self.stack.services[service], 1)
        foreground.check_debugpy(service, wanted.command, wanted.environment, wanted.folder)

    def in_terminal(self) -> list[str]:
        """Those whose process was noted, and lives."""
        known = {service: self._in_terminal(service) for service in self.stack.services}
        return [service for service, process in known.items() if process and process.alive()]

    def _in_terminal(self, service: str) -> Known | None:
        noted = read_json(self._place.run(service))
        return Known(int(noted["pid"]), float(noted["started_at"])) if "pid" in noted else None

    def end_run(self, service: str) -> None:
        """End the process that a devctl which was killed had in its terminal."""
        note = self._place.run(service)
        if known := self._in_terminal(service):
            end_alone(known, self.stack.services[service].stop_grace_seconds)
        note.unlink(missing_ok=True)

    def logs(
        self, services: Sequence[str], *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AbstractContextManager[Iterator[LogLine]]:
        """Read the log files; a replica that starts later joins a follow."""
        wanted = set(services)

        def source() -> logfiles.Source:
            programs = program.saved(self._place).values()
            return {p.name: (p.service, self._place.log(p.name)) for p in programs if p.service in wanted}

        return logfiles.read(source, follow=follow, since=since, tail=tail)

    def tail(self, replica: str, path: str, lines: int) -> tuple[str, ...]:
        """Read it from where the process writes it."""
        p = program.saved(self._place).get(replica)
        return logfiles.tail(Path(p.folder) / path, lines) if p else ()

    def address(self, service: str, target: int) -> tuple[str, int]:
        """Return where the first replica that runs listens."""
        programs = {
            n: p for n, p in program.saved(self._place).items() if p.service == service and str(target) in p.ports
        }
        for replica in self._replicas(programs):
            if replica.state == "running":
                self._make_sure_it_is_ours(replica, programs[replica.name])
                return LOOPBACK, programs[replica.name].ports[str(target)]
        known = target in self._place.ports(self.stack).targets[service]
        raise DevctlError(
            f"{service} does not run" if known else f"{service} publishes no port {target}",
            hint=f"devctl up {service}" if known else f"ports: add it to {self._settings.compose_file.name}",
        )

    def _make_sure_it_is_ours(self, replica: Replica, p: Program) -> None:
        service = self.stack.services[replica.service]
        if redis.is_redis(service) and replica.pid and (other := redis.other(service, _numbers(p.ports), replica.pid)):
            raise DevctlError(
                other, hint=f"stop that one, or move {service.name} to a port of its own: ports: in the file"
            )

    def _made(self, book: PortBook) -> Programs:
        return Programs(self._settings, self.stack, self._place, book, self._images)

    def _programs(
        self, service: str, replicas: int | None, saved: Mapping[str, Program], running: Mapping[str, Process]
    ) -> list[Program]:
        """Return the programs that a service is to have, their ports checked."""
        definition = self.stack.services[service]
        present = sum(p.service == service for p in saved.values())
        count = replicas if replicas is not None else present or definition.replicas
        self.stack.check_scale(service, count)
        book = self._place.ports(self.stack)
        numbers = range(1, count + 1)
        for number in numbers:
            name = f"{service}-{number}"
            if name not in running or not running[name].alive:
                book.make_sure(definition, number, movable.variables_of(self._settings, service))
        return [self._made(book).make(definition, n) for n in numbers]

    def _supervised(self) -> bool:
        """Whether a supervisor is there; one that is ending is waited for: it gives each program its grace, in turn."""
        if self._supervisor.ending():
            self._supervisor.wait_for_end(sum(_patience([p]) for p in program.saved(self._place).values()))
        return self._supervisor.answers()

    def _beyond_restart(self, services: Sequence[str], saved: Mapping[str, Program]) -> DevctlError:
        """Say why these cannot be restarted in place."""
        option = self._settings.option
        replicas = self._replicas({name: p for name, p in saved.items() if p.service in services})
        if not (living := [replica.name for replica in replicas if replica.state == "running"]):
            return DevctlError(f"{' and '.join(services)} does not run", hint=f"devctl up {' '.join(services)}{option}")
        everything = " ".join(dict.fromkeys(p.service for p in saved.values()))
        return DevctlError(
            f"{' and '.join(living)} cannot be restarted: the supervisor that started it was killed",
            hint=f"stop it and start a new one: devctl up {everything}{option}",
        )

    def _end(self, names: Iterable[str], saved: Mapping[str, Program]) -> None:
        """Stop programs, dependents first and the broker last, and forget them; with or without a supervisor."""
        left = set(names)
        if not left:
            return
        if not (supervised := self._supervised()):
            self._supervisor.kill()  # one that lives and does not hear would start again what is ended here
        levels = self.stack.levels(self.stack.services)
        order = [[s for s in level if s != self.stack.broker] for level in reversed(levels)]
        for level in [*order, [self.stack.broker], None]:  # None: services that left the Compose file
            group = {n for n in left if level is None or saved[n].service in level}
            if group:
                lives = self._lives()
                grace = max(saved[name].stop_grace_seconds for name in group)
                if supervised:
                    self._supervisor.stop(group, grace + _BEYOND_GRACE_SECONDS)
                    self._supervisor.remove(group)
                    grace = 0.0  # that is over; what is there now, a service left running itself
                end(_known(lives[name] for name in group if name in lives), grace)
            left -= group
        for name in names:
            self._place.program(name).unlink(missing_ok=True)
            shutil.rmtree(self._place.temporary(name), ignore_errors=True)

    def _end_leftovers(self) -> None:
        """End the supervisor, and what it or one that was killed before it left behind; no program is left."""
        lives, saved = self._lives(), program.saved(self._place)
        brokers = {name for name, p in saved.items() if p.service == self.stack.broker}
        self._supervisor.shutdown()
        for last in (False, True):  # without its broker a worker does not stop but waits for it
            end(_known(life for name, life in lives.items() if (name in brokers) is last), _LEFTOVER_GRACE_SECONDS)
        self._place.clear()

    def _replicas(self, programs: Mapping[str, Program]) -> list[Replica]:
        processes, lives = self._supervisor.processes(), self._lives()
        return [self._replica(p, processes.get(name), lives.get(name, Life())) for name, p in programs.items()]

    def _lives(self) -> dict[str, Life]:
        return self._journal.lives({name: p.made_at for name, p in program.saved(self._place).items()})

    def _replica(self, p: Program, process: Process | None, life: Life) -> Replica:
        state = _state(process, life, again=p.restart in ("always", "unless-stopped"))
        return Replica(
            service=p.service,
            name=p.name,
            state=state,
            exit_code=life.exit_code if state != "running" or life.restarts else None,
            restarts=life.restarts,
            started_at=life.started_at,
            ports=tuple(f"{LOOPBACK}:{host}->{target}" for target, host in p.ports.items()),
            pid=life.pid if state == "running" else None,
            hostname=p.hostname,
        )

    def _subjects(self, replicas: Iterable[Replica], programs: Mapping[str, Program]) -> Iterator[Subject]:
        for replica in replicas:
            service = self.stack.services.get(replica.service)
            if service is None or replica.pid is None or replica.started_at is None:
                continue
            server, p = servers.of(service), programs[replica.name]
            if server is None and (service.healthcheck is None or p.check is None):
                continue
            yield Subject(
                name=replica.name,
                pid=replica.pid,
                started_at=replica.started_at,
                check=service.healthcheck or HealthCheck(test=()),
                command=tuple(p.check or ()),
                environment=p.environment,
                folder=p.folder,
                ports=tuple(p.ports.values()),
                ask=server.question(service, _numbers(p.ports), replica.pid) if server else None,
            )

    @staticmethod
    def _with_health(replica: Replica, said: Mapping[str, tuple[Health, str]]) -> Replica:
        health, output = said.get(replica.name, ("none", "")) if replica.state == "running" else ("none", "")
        return Replica(**{**vars(replica), "health": health, "health_output": "" if health == "healthy" else output})


def _state(process: Process | None, life: Life, again: bool) -> State:
    if process is None:  # its supervisor is gone; it may have outlived it
        alive = life.pid is not None and life.started_at is not None and Known(life.pid, life.started_at).alive()
        return "running" if alive else "exited"
    if process.state == supervisor.BACKOFF or (process.state == supervisor.EXITED and again):
        return "restarting"
    return "running" if process.alive else "exited"


def _numbers(ports: Mapping[str, int]) -> dict[int, int]:
    return {int(target): port for target, port in ports.items()}


def _in_vain(process: Process | None, life: Life) -> bool:
    """Whether it crashed at once, again and again: who asks for a start now wants a new try."""
    if process is None:
        return False
    again = process.state == supervisor.STARTING and life.restarts > 0
    return again or process.state in (supervisor.BACKOFF, supervisor.FATAL)


def _known(lives: Iterable[Life]) -> list[Known]:
    return [Known(life.pid, life.started_at) for life in lives if life.pid and life.started_at]


def _patience(programs: Iterable[Program]) -> float:
    return max((p.stop_grace_seconds for p in programs), default=0.0) + _BEYOND_GRACE_SECONDS
