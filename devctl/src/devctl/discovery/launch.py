"""What a service really runs: its entrypoint and command, else its image's, followed through wrappers and scripts."""

from __future__ import annotations

import configparser
import os
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from devctl.discovery import celery_command, installs, python_program, script, wrappers
from devctl.discovery.container_files import ContainerFiles, Source
from devctl.discovery.model import CeleryCommand, Incomplete, Launch
from devctl.discovery.variables import readable
from devctl.stack import dockerfile
from devctl.stack.dockerfile import Image
from devctl.stack.model import Build, Service

_HOPS = 6
_MOST = 60
"""Processes of one service."""
_DEEPEST_COMMAND = 7
_FOREIGN = {"node_modules", "site-packages", "static", "media", "env", "venv"}
_SERVES = {"worker", "beat", "flower", "events"}
_SUPERVISOR = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "supervisord.conf", "etc/supervisord.conf")
_PROCFILES = {"foreman", "forego", "goreman", "honcho", "overmind"}


@dataclass(frozen=True)
class ImageConfig:
    """What an image says itself: `docker image inspect`."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str


Inspect = Callable[[str], ImageConfig | None]
"""Asks the engine for an image of this machine; None where it has none, or where no engine answers."""


@dataclass(frozen=True)
class Process:
    """One command that runs in the container in the end, or may run."""

    words: tuple[str, ...]
    source: str
    may: bool
    folder: str
    environment: Mapping[str, str]
    celery: CeleryCommand | None = None
    celeriac: bool = False
    web: bool = False
    """A program of Python whose file answers HTTP."""


@dataclass(frozen=True)
class Followed:
    """A service's launch, and all processes that it comes to."""

    launch: Launch
    processes: tuple[Process, ...]
    image: Image | None = None
    build: Build | None = None
    files: ContainerFiles | None = None
    installed: tuple[str, ...] = ()
    """The folders of the container that Python looks in, as the image installed what is there."""

    @property
    def celery(self) -> list[Process]:
        """The processes that serve: workers, beats, monitors; one of each line, the certain ones first."""
        found = [one for one in self.processes if one.celery is not None and one.celery.subcommand in _SERVES]
        different: dict[tuple[str, CeleryCommand | None], Process] = {}
        for one in sorted(found, key=lambda one: one.may):
            different.setdefault((one.source, one.celery), one)
        return [*different.values()]


def follow(
    service: Service,
    file: str,
    root: Path,
    *,
    builds: Mapping[str, Build] | None = None,
    inspect: Inspect = lambda image: None,
) -> Followed:
    """Return what a service runs. `builds`: image -> the build of another service that makes it."""
    build = service.build or (builds or {}).get(service.image)
    image = dockerfile.read(build) if build is not None else None
    given = _Given.of(service, file, root, image, inspect)
    environment = {**given.environment, **service.environment}
    folder = service.working_dir or given.folder
    files = ContainerFiles(service, build, image)
    installed = installs.roots(image, files) if image is not None else ()
    way = _Way(files, root, installed)
    way.follow(given.words, given.source, folder, environment)
    processes = tuple(way.processes)
    main = _main(processes)
    launch = Launch((), given.source, folder, environment)
    if main is not None:
        launch = Launch(main.words, main.source, main.folder, dict(main.environment))
    if service.missing_env_files:
        launch = replace(launch, environment=Incomplete(launch.environment))
    return Followed(launch, processes, image, build, files, installed)


def _main(processes: Sequence[Process]) -> Process | None:
    """The one that a service is there for: a serving Celery, else the last, as what is before it prepares."""
    celery = [one for one in processes if one.celery is not None and one.celery.subcommand in _SERVES]
    certain = [one for one in processes if not one.may]
    return next(iter([*sorted(celery, key=lambda one: one.may), *certain[::-1], *processes[::-1]]), None)


@dataclass(frozen=True)
class _Given:
    """What stands in the Compose file, and in the image for what does not."""

    words: tuple[str, ...]
    source: str
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    @classmethod
    def of(cls, service: Service, file: str, root: Path, image: Image | None, inspect: Inspect) -> _Given:
        said = [name for name, words in (("entrypoint", service.entrypoint), ("command", service.arguments)) if words]
        words = (*(service.entrypoint or ()), *(service.arguments or ()))
        source = f"{file}: {' and '.join(said)} of {service.name}" if said else ""
        if image is not None and (image.entrypoint or image.command or service.entrypoint is not None):
            entrypoint, command = image.entrypoint, image.command
            environment, folder = image.environment, image.folder

            def where(word: str) -> str:
                one = image.last(word)
                return f"{_relative(image.path, root)}:{one.line} {word}" if one else ""

        else:
            config = inspect(service.image) if service.entrypoint is None and service.image else None
            if config is None:
                environment, folder = (image.environment, image.folder) if image else ({}, "")
                if service.entrypoint is None and not words:
                    source = f"what {service.image or 'its image'} runs is not known here"
                return cls(words, source, environment, folder)
            entrypoint, command, environment, folder = (
                config.entrypoint,
                config.command,
                config.environment,
                config.folder,
            )

            def where(word: str) -> str:
                return f"image {service.image}"

        if service.entrypoint is not None:  # then nothing of the image's own command is left
            return cls(words, source, environment, folder)
        if service.arguments is not None:
            return cls((*entrypoint, *words), source or where("ENTRYPOINT"), environment, folder)
        both = (*entrypoint, *command)
        return cls(both, where("CMD") if command else where("ENTRYPOINT"), environment, folder)


class _Way:
    """Follows command lines to the processes that they come to."""

    def __init__(self, files: ContainerFiles, root: Path, installed: Sequence[str] = ()) -> None:
        self.processes: list[Process] = []
        self._files, self._root, self._installed = files, root, installed

    def follow(
        self,
        words: Sequence[str],
        source: str,
        folder: str,
        environment: Mapping[str, str],
        *,
        may: bool = False,
        hops: int = 0,
    ) -> None:
        words = tuple(word for word in words)
        if not words or not words[0] or len(self.processes) >= _MOST:
            return
        here = Process(tuple(map(readable, words)), source, may, folder, environment)
        command = celery_command.read(here.words, environment)
        if command is not None:
            self.processes.append(replace(here, celery=command))
            return
        if hops >= _HOPS:
            self.processes.append(here)
            return
        inner = wrappers.peel(words)
        if inner is not None and inner.text is not None:
            self._script(inner.text, source, folder, {**environment, **inner.environment}, inner.words, may, hops)
        elif inner is not None and not wrappers.is_shell(words):
            self.follow(inner.words, source, folder, {**environment, **inner.environment}, may=may, hops=hops + 1)
        elif inner is not None:  # `sh start`: a script whatever its name and its first line
            self._file(replace(here, words=inner.words), hops, by_shell=True)
        else:
            self._file(here, hops)

    def _script(
        self,
        text: str,
        source: str,
        folder: str,
        environment: Mapping[str, str],
        arguments: Sequence[str],
        may: bool,
        hops: int,
        file: str = "",
    ) -> None:
        runs = script.commands(text, environment, arguments=arguments, folder=folder, read=self._text)
        for run in runs:
            handed_on = bool(arguments) and run.words == tuple(
                arguments
            )  # exec "$@": where they come from, stands there
            at = f"{file}:{run.line}" if file and not handed_on else source
            self.follow(run.words, at, run.folder, run.environment, may=may or run.may, hops=hops + 1)

    def _text(self, path: str, folder: str) -> str | None:
        found = self._files.find(path, folder)
        return found.text if found else None

    def _file(self, here: Process, hops: int, *, by_shell: bool = False) -> None:
        """A command that is a file of the container: a script of a shell or of Python, a list of programs."""
        name, rest = posixpath.basename(here.words[0]), here.words[1:]
        lists = {"supervisord": self._supervisor, "make": self._make, **dict.fromkeys(_PROCFILES, self._procfile)}
        if name in lists and not by_shell:
            lists[name](here, hops)
            return
        python = None if by_shell else self._python(here)
        found: Source | None
        if python is not None:
            found, arguments = python
        else:
            programs = "" if by_shell else here.environment.get("PATH", "/bin")
            found, arguments = self._files.find(here.words[0], here.folder, programs), rest
        if found is None:
            self.processes.append(here)
        elif python is not None or (not by_shell and re.match(r"#!.*python", found.text)):
            self._program(here, found, tuple(arguments))
        elif by_shell or found.text.startswith("#!") or name.endswith(".sh"):
            before = len(self.processes)
            self._script(
                found.text,
                here.source,
                here.folder,
                here.environment,
                arguments,
                here.may,
                hops,
                self._called(found, here),
            )
            if len(self.processes) == before:
                self.processes.append(here)
        else:
            self.processes.append(here)

    def _called(self, found: Source, here: Process) -> str:
        return _relative(found.path, self._root) if found.path else here.source

    def _program(self, here: Process, found: Source, arguments: tuple[str, ...]) -> None:
        runs = python_program.started(found.text, arguments)
        for run in runs:
            command = celery_command.read(run.words, here.environment)
            if command is not None and not command.app and run.of_app:
                command = replace(command, app=_module_of(here))
            at = f"{self._called(found, here)}:{run.line}"
            self.processes.append(replace(here, words=run.words, source=at, celery=command, celeriac=run.celeriac))
        if not runs:
            self.processes.append(replace(here, web=python_program.answers_http(found.text)))

    def _python(self, here: Process) -> tuple[Source | None, Sequence[str]] | None:
        """The file of `python x.py`, `python -m a.b` and `manage.py COMMAND`."""
        words = [*here.words]
        if re.fullmatch(r"python[\d.]*|pypy[\d.]*", posixpath.basename(words[0])):
            words.pop(0)
            while words and words[0].startswith("-") and words[0] != "-m":
                words = words[2:] if words[0] in ("-X", "-W") else words[1:]
        elif not words[0].endswith(".py"):
            return None
        if words[:1] == ["-m"] and len(words) > 1:
            return self._module(words[1], here), words[2:]
        if not words:
            return None
        if posixpath.basename(words[0]) == "manage.py" and len(words) > 1:
            return self._management(words, here)
        found = self._files.find(words[0] if "/" in words[0] else f"./{words[0]}", here.folder)
        return (found, words[1:]) if found else None

    def _module(self, name: str, here: Process) -> Source | None:
        path = name.replace(".", "/")
        places = [here.folder or "/", *here.environment.get("PYTHONPATH", "").split(":"), *self._installed]
        for place in places:
            for file in (f"{path}.py", f"{path}/__main__.py"):
                if place and (found := self._files.find(posixpath.join(place, file), "/")):
                    return found
        return None

    def _management(self, words: Sequence[str], here: Process) -> tuple[Source | None, Sequence[str]] | None:
        """A command that the project itself brings: app/management/commands/NAME.py."""
        project = self._files.here(posixpath.dirname(words[0]) or ".", here.folder)
        if project is None or not re.fullmatch(r"\w+", words[1]):
            return None
        for file in _management_commands(project, f"{words[1]}.py"):
            with suppress(OSError, UnicodeDecodeError):
                return Source(file.read_text(encoding="utf-8"), file), words[2:]
        return None

    def _supervisor(self, here: Process, hops: int) -> None:
        named = [
            word
            for option, word in zip(here.words, here.words[1:], strict=False)
            if option in ("-c", "--configuration")
        ]
        named += [word.partition("=")[2] for word in here.words if word.startswith("--configuration=")]
        found = next((one for path in named or _SUPERVISOR if (one := self._files.find(path, here.folder))), None)
        programs = [*_programs(found.text)] if found else []
        for command, folder, line in programs:
            at = f"{self._called(found, here)}:{line}" if found else here.source
            with_home = re.sub(r"%\(ENV_(\w+)\)s", lambda name: here.environment.get(name[1], f"${name[1]}"), command)
            self.follow(_words(with_home), at, folder or here.folder, here.environment, may=here.may, hops=hops + 1)
        if not programs:
            self.processes.append(here)

    def _procfile(self, here: Process, hops: int) -> None:
        wanted = {word for word in here.words[2:] if not word.startswith("-")}
        found = self._files.find("./Procfile", here.folder) if here.words[1:2] == ("start",) else None
        lines = enumerate(found.text.splitlines(), 1) if found else ()
        for number, line in lines:
            entry = re.match(r"([\w-]+):\s*(.+)", line)
            if entry and found and (not wanted or entry[1] in wanted):
                at = f"{self._called(found, here)}:{number}"
                self._script(entry[2], at, here.folder, here.environment, (), here.may, hops + 1)
        if found is None:
            self.processes.append(here)

    def _make(self, here: Process, hops: int) -> None:
        found = self._files.find("./Makefile", here.folder)
        goals = [word for word in here.words[1:] if not word.startswith("-") and "=" not in word]
        before = len(self.processes)
        for goal, line, recipe in _recipes(found.text) if found else ():
            if goal in goals and found:
                at = f"{self._called(found, here)}:{line}"
                text = re.sub(r"\$[({](\w+)[)}]", r"${\1}", recipe).replace("$$", "$")
                self._script(text, at, here.folder, here.environment, (), here.may, hops + 1)
        if len(self.processes) == before:
            self.processes.append(here)


def _module_of(here: Process) -> str:
    """What `-A` would say of a program that runs its app's worker itself: its own module."""
    module = next((after for word, after in zip(here.words, here.words[1:], strict=False) if word == "-m"), "")
    file = next((word for word in here.words if word.endswith(".py")), "")
    if module or not file or posixpath.isabs(file) or file.startswith("../"):
        return module
    return posixpath.normpath(file).removesuffix(".py").replace("/", ".")


def _management_commands(project: Path, name: str) -> Iterator[Path]:
    """Look through the packages of a project, not through what a tool put there."""
    for folder, below, files in os.walk(project):
        place = Path(folder)
        deep = len(place.relative_to(project).parts) > _DEEPEST_COMMAND
        below[:] = [] if deep else sorted(one for one in below if one[0] != "." and one not in _FOREIGN)
        if name in files and place.parts[-2:] == ("management", "commands"):
            yield place / name


def _programs(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield command, folder and line of each program of a supervisord.conf."""
    reader = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    try:
        reader.read_string(text)
    except configparser.Error:
        return
    lines = text.splitlines()
    for section in reader.sections():
        command = reader.get(section, "command", fallback="")
        if section.startswith("program:") and command and reader.get(section, "autostart", fallback="true") != "false":
            line = next((number for number, one in enumerate(lines, 1) if one.strip() == f"[{section}]"), 1)
            yield command.replace("\n", " "), reader.get(section, "directory", fallback=""), line


def _recipes(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield target, line and recipe of each rule of a Makefile."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if rule := re.match(r"([\w.-]+)\s*:(?!=)", line):
            recipe: list[str] = []
            for following in lines[number:]:
                if not following.startswith("\t"):
                    break
                recipe.append(following.strip().lstrip("@-"))
            yield rule[1], number, "\n".join(recipe)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _relative(path: Path | None, root: Path) -> str:
    return os.path.relpath(path, root) if path is not None else ""


def images(services: Iterable[Service]) -> dict[str, Build]:
    """Image -> the build that makes it: another service of the same image runs the same thing."""
    return {one.image: one.build for one in services if one.image and one.build is not None}
