"""What one replica runs here: its command, environment and folder, made from its Compose service."""

from __future__ import annotations

import posixpath
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import sources
from devctl.stack.local import listening, network, scripts, servers
from devctl.stack.local.environment import make as make_environment
from devctl.stack.local.images import Images
from devctl.stack.local.journal import Journal, Life
from devctl.stack.local.place import Place, PortBook, read_json, write_json
from devctl.stack.local.processes import Known
from devctl.stack.local.recipe import Recipe
from devctl.stack.local.rewrite import Rewrite
from devctl.stack.local.root import Root
from devctl.stack.local.supervisor import Entry, Supervisor
from devctl.stack.model import Service, Stack

# Of the user's shell a service sees what makes programs run, and nothing that a container would not see too:
# no PYTHONPATH, no CELERY_*, no proxy. Its settings are the Compose file's.
_FROM_THE_SHELL = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_SIGNALS = ("TERM", "HUP", "INT", "QUIT", "KILL", "USR1", "USR2")
"""Those that the supervisor can stop with."""


@dataclass(frozen=True)
class Program:
    """One replica; as JSON it is what the launcher reads."""

    service: str
    name: str
    command: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    restart: str
    stop_grace_seconds: float
    ports: dict[str, int]
    """Container port -> port of this machine."""
    check: list[str] | None = None
    """The health check's command, None where there is none or where Redis is asked over its socket."""
    sources: str = field(default="", compare=False)
    """Its files as they were when it started, by their times (`sources.digest`): a quick look."""
    contents: str = ""
    """And by what is in them (`sources.digest_of_contents`): a time alone is no change of the code."""
    made_at: float = field(default=0.0, compare=False)
    """Unix seconds, down to the milliseconds of the supervisor's log."""
    stop_signal: str = "TERM"
    """The Compose file's, else the Dockerfile's."""
    hostname: str = ""
    """What it believes to be its host's name, as a container would; "" is the machine's."""

    @property
    def number(self) -> int:
        """`worker-2` is the second."""
        return int(self.name.rpartition("-")[2])

    @property
    def entry(self) -> Entry:
        """The supervisor's part."""
        return Entry(self.name, self.restart, self.stop_grace_seconds, self.stop_signal)

    def runs(self, service: Service) -> bool:
        """Whether it was started with the code that the service has now; files are read only where a time differs."""
        files = sources.stamps(service)
        return sources.digest(files) == self.sources or sources.digest_of_contents(files) == self.contents

    def save(self, place: Place) -> None:
        """Write it for the launcher."""
        write_json(place.program(self.name), asdict(self))


def saved(place: Place) -> dict[str, Program]:
    """Return all programs of the stack, in order."""
    found = []
    for file in (place.state / "programs").glob("*.json"):
        content: dict[str, Any] = read_json(file)
        if content:
            found.append(Program(**content))
    return {program.name: program for program in sorted(found, key=lambda p: (p.service, p.number))}


@dataclass(frozen=True)
class Leftovers:
    """The replicas of a stack whose supervisor was killed, or whose machine was rebooted."""

    alive: tuple[tuple[str, int], ...]
    """Replica and pid of those that live on: they hold ports, and nobody restarts or stops them."""
    gone: tuple[str, ...]


def leftovers(state: Path) -> Leftovers | None:
    """Return what is left of the stack with this state; None where it is supervised, or was stopped."""
    place = Place.of(state)
    programs = saved(place)
    if not programs or Supervisor(place).answers():
        return None
    lives = Journal(place.journal).lives()
    alive = tuple((name, pid) for name in programs if (pid := _living(lives.get(name))))
    return Leftovers(alive, tuple(name for name in programs if name not in dict(alive)))


class Programs:
    """Makes programs from services."""

    def __init__(self, settings: Settings, stack: Stack, place: Place, ports: PortBook, images: Images) -> None:
        self._settings, self._stack, self._place, self._ports, self._images = settings, stack, place, ports, images
        self._targets = ports.targets
        self._names = listening.names(stack)

    def make(self, service: Service, number: int) -> Program:
        """Return the program of one replica; DevctlError where this machine cannot run it."""
        name = f"{service.name}-{number}"
        recipe, root = self._images.recipe(service), self._images.files(service)
        rewrite, form = self._rewrite(service, number), self._form(service, number)
        if recipe and root:
            rewrite = scripts.written(service, recipe, root, rewrite, self._place.scripts(name))
        environment = self._environment(service, number, recipe, rewrite) | dict(form.environment if form else {})
        folder = self._folder(service, recipe, root, rewrite)
        check = service.healthcheck.test if service.healthcheck else ()
        files = sources.stamps(service)
        return Program(
            service=service.name,
            name=name,
            command=form.command if form else self._command(service, recipe, rewrite, environment["PATH"], folder),
            environment=environment,
            folder=str(folder),
            log=str(self._place.log(name)),
            restart=service.restart,
            stop_grace_seconds=service.stop_grace_seconds,
            ports={str(target): self._ports.of(service.name, number, target) for target in self._targets[service.name]},
            check=None if not check or form else _check(rewrite.arguments(check)),
            sources=sources.digest(files),
            contents=sources.digest_of_contents(files),
            made_at=time.time() * 1000 // 1 / 1000,
            stop_signal=_stop_signal(service, recipe),
            hostname=_hostname(service, number) if recipe else "",
        )

    def refusal(self, service: Service) -> DevctlError | None:
        """Say why this service cannot run here; what its start says of itself, such as a port, is none."""
        if refused := self._images.refusal(service):
            return refused
        if server := servers.of(service):
            try:
                server.form(service, self._path, self._own_ports(service, 1), self._place.data(service.name))
            except DevctlError as missing:
                return missing
            return None
        if service.build or self._images.recipe(service):
            return None
        if not service.command or shutil.which(service.command[0], path=self._path) is None:
            return DevctlError(
                f"{service.name} runs only in a container: its image is {service.image or 'not named'}",
                hint="use containers: --runtime compose",
            )
        return None

    def _rewrite(self, service: Service, number: int) -> Rewrite:
        recipe = self._images.recipe(service)
        return Rewrite(
            service=service.name,
            services={other: self._targets[self._names[other]] for other in self._names},
            port_of=lambda other, target: self._port(service.name, number, self._names.get(other, other), target),
            temporary=self._place.temporary(f"{service.name}-{number}"),
            root=self._settings.root,
            paths=self._images.root(service).paths(recipe) if recipe else {},
            by_name=recipe is not None,
        )

    def _port(self, asking: str, number: int, service: str, target: int) -> int:
        return self._ports.of(service, number if service == asking else 1, target)

    def _environment(self, service: Service, number: int, recipe: Recipe | None, rewrite: Rewrite) -> dict[str, str]:
        given = {**(recipe.environment if recipe else {}), **service.environment}
        environment = {**self._shell(), **rewrite.environment(given)}
        environment["PATH"] = self._path
        environment.setdefault("TMPDIR", str(self._place.temporary(f"{service.name}-{number}")))
        made = self._images.environment(service)
        if recipe is None or made is None:
            return environment
        if not made.ready and not recipe.installs:  # a Python and nothing else: there in a moment
            make_environment(recipe, made, self._images.root(service), lambda text: None)
        if not made.ready:
            raise DevctlError(f"the environment of {service.name} is not made", hint=f"devctl build {service.name}")
        own = self._images.root(service)
        said = [own.path(part) for part in given.get("PATH", "").split(":") if part.startswith("/")]
        usual = [own.path(part) for part in ("/usr/local/bin", "/usr/bin", "/bin")]
        places = [made.programs, *(place for place in (*said, *usual) if place.is_dir()), *self._user_path]
        for variable, value in {
            "VIRTUAL_ENV": str(made.folder),
            "UVICORN_LOOP": "asyncio",  # uvloop asks the system itself where a name is
            network.VARIABLE: network.described(
                _hostname(service, number),
                {other: self._ports_of(other) for other in self._names},
                self._own_ports(service, number),
            ),
        }.items():
            environment.setdefault(variable, value)
        if any(mount.kind == "bind" for mount in service.mounts):  # a container would leave bytecode in the checkout
            environment.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        return {**environment, "PATH": ":".join(dict.fromkeys(map(str, places)))}

    def _ports_of(self, name: str) -> dict[int, int]:
        service = self._names[name]
        return {target: self._ports.of(service, 1, target) for target in self._targets[service]}

    def _own_ports(self, service: Service, number: int) -> dict[int, int]:
        return {target: self._ports.of(service.name, number, target) for target in self._targets[service.name]}

    def _form(self, service: Service, number: int) -> servers.Form | None:
        """Return how a Redis and the like runs."""
        if (server := servers.of(service)) is None:
            return None
        data = self._place.data(service.name)
        data.mkdir(parents=True, exist_ok=True)
        return server.form(service, self._path, self._own_ports(service, number), data)

    def _command(self, service: Service, recipe: Recipe | None, rewrite: Rewrite, path: str, folder: Path) -> list[str]:
        command = _whole(service, recipe) if recipe else service.command
        if not command:
            raise DevctlError(
                f"{service.name} has no `command:` in the Compose file; only its image knows what it runs",
                hint="write the command into the Compose file, or use containers: --runtime compose",
            )
        words = rewrite.arguments(command)
        program = shutil.which(words[0], path=path)
        if program is None and "/" in words[0]:
            program = shutil.which(folder / words[0])
        if program is None:
            if "/" in words[0] and (folder / words[0]).is_file():
                raise DevctlError(
                    f"{service.name} runs {command[0]!r}, which is not executable",
                    hint=f"chmod +x {words[0]}: a container could not run it either",
                )
            raise DevctlError(
                f"{service.name} runs {command[0]!r}, which is not on this machine",
                hint=f"install {Path(words[0]).name}, or use containers: --runtime compose",
            )
        return [program, *words[1:]]

    @property
    def _path(self) -> str:
        """The checkout's own environment first, devctl's beside it, then the user's PATH."""
        own = self._settings.root / ".venv" / "bin"
        return ":".join(
            dict.fromkeys([*([str(own)] if own.is_dir() else []), str(Path(sys.executable).parent), *self._user_path])
        )

    @property
    def _user_path(self) -> list[str]:
        return self._settings.environment.get("PATH", "/usr/bin:/bin").split(":")

    def _shell(self) -> Mapping[str, str]:
        passed = {key: self._settings.environment[key] for key in _FROM_THE_SHELL if key in self._settings.environment}
        return {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **passed}

    def _folder(self, service: Service, recipe: Recipe | None, root: Root | None, rewrite: Rewrite) -> Path:
        """Its working directory; without a recipe, where its image is built from comes nearest to that."""
        if recipe and root:
            wanted = posixpath.join(recipe.folder, service.working_dir)
            folder = root.path(wanted)
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        folder = service.build.context if service.build else self._settings.root
        return folder if folder.is_dir() else self._settings.root


def _stop_signal(service: Service, recipe: Recipe | None) -> str:
    said = str(service.unmodelled.get("stop_signal") or (recipe.stop_signal if recipe else "") or "TERM").upper()
    if said.isdecimal() and int(said) in [*signal.Signals]:
        said = signal.Signals(int(said)).name
    name = said.removeprefix("SIG")
    return name if name in _SIGNALS else "TERM"


def _hostname(service: Service, number: int) -> str:
    """Return its host's name: by that its Celery node is told from those of the other replicas."""
    return service.hostname or f"{service.name}-{number}"


def _whole(service: Service, recipe: Recipe) -> tuple[str, ...]:
    """The command with what only the image says: its CMD counts where the file has neither part."""
    if service.entrypoint is not None:
        return (*service.entrypoint, *(service.arguments or ()))
    return (*recipe.entrypoint, *(recipe.command if service.arguments is None else service.arguments))


def _check(words: list[str]) -> list[str]:
    return ["/bin/sh", "-c", words[1]] if words[0] == "CMD-SHELL" else words[1:]


def _living(life: Life | None) -> int | None:
    if life is None or life.pid is None or life.started_at is None:
        return None
    return life.pid if Known(life.pid, life.started_at).alive() else None
