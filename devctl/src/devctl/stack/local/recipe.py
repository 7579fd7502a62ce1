"""What a Dockerfile does, as steps that can be followed without a container; or the first that cannot: pure.

A step is followed, or does nothing that a process of this machine would miss and is noted, or is refused with its
line. Where it is not sure, it is refused: a service that lacks a part is another service.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack import dockerfile
from devctl.stack.dockerfile import Image
from devctl.stack.instructions import Instruction
from devctl.stack.local import shell, system_packages
from devctl.stack.model import Build, Service

_BASE = re.compile(r"(?:.*/)?python(?::(?P<version>\d+(?:\.\d+)?)?(?P<rest>[\w.-]*))?(?:@sha256:\w+)?")
_UV_BASE = re.compile(r"(?:.*/)?uv:(?:[\d.]+-)?python(?P<version>\d+\.\d+)[\w.-]*(?:@sha256:\w+)?")
_SAYS_NOTHING = {
    *("ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL"),
    *("STOPSIGNAL", "USER", "VOLUME"),
}
_NOTHING = {
    *(":", "[", "addgroup", "adduser", "chgrp", "chown", "corepack", "dpkg-reconfigure", "echo", "find", "groupadd"),
    *("groupmod", "ldconfig", "locale-gen", "ls", "printf", "pwd", "set", "setcap", "source", ".", "test", "true"),
    *("update-ca-certificates", "update-locale", "useradd", "usermod", "virtualenv", "whoami", "which", "dos2unix"),
    *("deluser", "delgroup", "userdel", "apt-mark", "passwd", "cat", "python-config", "ulimit", "umask", "sleep"),
}
_FILES = {"chmod", "cp", "install", "ln", "mkdir", "mv", "rm", "rmdir", "sed", "touch"}
_OURS = {"pip", "poetry", "pipenv", "setuptools", "wheel", "uv", "virtualenv", "pip-tools"}
_INSTALLERS = re.compile(r"https?://\S*(install\.python-poetry\.org|python-poetry/\S*|astral\.sh/uv/\S*|get-pip\.py)")
_MADE = re.compile(r"manage\.py\s+(collectstatic|compilemessages|compress)\b|-m\s*compileall\b|-m\s*venv\b|-mvenv\b")


@dataclass(frozen=True)
class Copy:
    """COPY or ADD of files that are here."""

    where: str
    stage: str
    """The stage whose files this adds to; "" is the last."""
    sources: tuple[str, ...]
    target: str
    """Ends with / where it is a folder for sure."""
    origin: Path | str
    """The folder of a build context, or the name of a stage."""
    context: bool = False
    """Whether that is the build context, whose .dockerignore counts."""
    text: str | None = None
    """The content, of a here-document."""


@dataclass(frozen=True)
class Files:
    """A command that changes files of the image: mkdir, chmod, sed -i, …"""

    where: str
    stage: str
    words: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class Install:
    """A command that installs Python packages."""

    where: str
    stage: str
    tool: str
    """pip, uv, poetry, pipenv."""
    words: tuple[str, ...]
    """What follows `install` or `sync`."""
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)


Step = Copy | Files | Install


@dataclass(frozen=True)
class Recipe:
    """How a service is made here, and what its image says of the process."""

    python: str
    """3.12; "" is any."""
    build: Build | None = None
    steps: tuple[Step, ...] = ()
    folder: str = "/"
    """WORKDIR."""
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stop_signal: str = ""
    skipped: tuple[str, ...] = ()
    """What was left out, and where it stands: `Dockerfile:4 apt-get install gcc`."""

    @property
    def installs(self) -> tuple[Install, ...]:
        """Its packages."""
        return tuple(step for step in self.steps if isinstance(step, Install))


class Refused(DevctlError):
    """An instruction that cannot be followed."""


def read(service: Service, root: Path) -> Recipe | None:
    """Return how this service is made; None where no Dockerfile says it; Refused names the line that cannot be done."""
    if service.build is None:
        return of_image(service.image)
    image = dockerfile.read(service.build)
    if image is None:
        return None
    reader = _Reader(service, service.build, image, root)
    reader.follow(image, "")
    return Recipe(
        python=reader.python(image),
        build=service.build,
        steps=tuple(reader.steps),
        folder=image.folder or "/",
        environment=image.environment,
        entrypoint=image.entrypoint,
        command=image.command,
        stop_signal=stop.text if (stop := image.last("STOPSIGNAL")) else "",
        skipped=tuple(reader.skipped),
    )


def of_image(name: str) -> Recipe | None:
    """Return how to make what some images hold: a bare Python, or Flower."""
    if (found := _BASE.fullmatch(name)) and name:
        return Recipe(python=_version(found["version"]), command=("python3",))
    if found := re.fullmatch(r"(?:.*/)?mher/flower(?::(?P<version>[\d.]+)?.*)?", name):
        wanted = f"flower=={found['version']}" if found["version"] else "flower"
        install = Install(name, "", "pip", (wanted, "redis"), "/")
        return Recipe(python="", steps=(install,), entrypoint=("celery",), command=("flower",))
    return None


class _Reader:
    def __init__(self, service: Service, build: Build, image: Image, root: Path) -> None:
        self.steps: list[Step] = []
        self.skipped: list[str] = []
        self._service, self._build, self._image = service, build, image
        self._stages: set[str] = set()
        self._wheels: set[str] = set()
        self._file = _shown(image.path, root)

    def python(self, image: Image) -> str:
        """Return the version of the base; Refused where it is another kind of base."""
        found = _BASE.fullmatch(image.base) or _UV_BASE.fullmatch(image.base)
        if not found:
            line = next((one.line for one in image.instructions), 1)
            first = _from(image.path, image.base)
            raise self._refused(first or line, f"FROM {image.base}", "it is no python image")
        return _version(found["version"])

    def follow(self, image: Image, stage: str) -> None:
        """Go through the instructions of a stage and those below it."""
        self.python(image)
        folder = "/"
        known = {**image.arguments, **image.environment}
        for one in image.instructions:
            if one.word == "WORKDIR":
                folder = posixpath.normpath(posixpath.join(folder, one.text))
                self.steps.append(Files(self._where(one), stage, ("mkdir", "-p", folder), "/"))
            elif one.word in ("COPY", "ADD"):
                self._copy(one, stage, folder)
            elif one.word == "RUN":
                self._run(one, stage, folder, known)
            elif one.word not in _SAYS_NOTHING:
                raise self._refused(one.line, one.word, "devctl does not know it")

    def _copy(self, one: Instruction, stage: str, folder: str) -> None:
        words = one.words or tuple(one.text.split())
        if one.heredocs:
            target = posixpath.join(folder, words[-1])
            self.steps.append(Copy(self._where(one), stage, (), target, "", text=one.heredocs[0]))
            return
        *sources, last = words
        target = posixpath.join(folder, last) + ("/" if len(sources) > 1 and not last.endswith("/") else "")
        origin = one.flags.get("from", "")
        if not origin:
            for source in sources:
                if re.match(r"[a-z]+://|git@", source) or (
                    one.word == "ADD" and re.search(r"\.(tar(\.\w+)?|tgz)$", source)
                ):
                    raise self._refused(one.line, f"{one.word} {source}", "only a builder fetches or unpacks it")
            copy = Copy(self._where(one), stage, tuple(sources), target, self._build.context, context=True)
        elif origin in self._build.additional_contexts:
            copy = Copy(self._where(one), stage, tuple(sources), target, self._build.additional_contexts[origin])
        elif other := self._other(origin):
            if origin not in self._stages:
                self._stages.add(origin)
                self.follow(other, origin)
            if {posixpath.normpath(posixpath.join("/", source)) for source in sources} & self._wheels:
                self._wheels.add(posixpath.normpath(target))  # what was installed where they were made
                return
            copy = Copy(self._where(one), stage, tuple(sources), target, origin)
        elif re.search(r"(^|/)uv:|astral-sh/uv", origin):
            return
        else:
            raise self._refused(one.line, f"COPY --from={origin}", "what is in that image is not here")
        self.steps.append(copy)

    def _other(self, stage: str) -> Image | None:
        text = self._image.path.read_text(encoding="utf-8", errors="replace")
        return dockerfile.of(text, self._image.path, self._build.args, stage)

    def _run(self, one: Instruction, stage: str, folder: str, known: Mapping[str, str]) -> None:
        if one.words is not None:
            parts = [shell.Command(" ".join(one.words), one.words)]
        elif one.heredocs:
            parts = [command for body in one.heredocs for command in shell.commands(body, known)]
        else:
            parts = list(shell.commands(one.text, known))
        for part in parts:
            if part.words[:1] == ("cd",):
                folder = posixpath.normpath(posixpath.join(folder, part.words[1] if len(part.words) > 1 else "/root"))
            elif part.always:
                self._do(one, part, stage, folder)

    def _do(self, one: Instruction, part: shell.Command, stage: str, folder: str) -> None:
        words, where = part.words, self._where(one)
        if words[:1] and words[0] in ("sudo", "exec", "env", "command"):
            words = words[1:]
        if _INSTALLERS.search(part.text) or _MADE.search(part.text):
            self._skip(where, part)
            return
        if not words:
            raise self._refused(one.line, part.text, "it is more than commands one after the other")
        if system_packages.manager(words):
            if missing := system_packages.needed(words):
                raise self._refused(
                    one.line, f"{words[0]} … {' '.join(missing)}", "devctl installs none of the system's packages"
                )
            if {"install", "add"} & {*words}:
                self._skip(where, part)
            return
        name = words[0].rpartition("/")[2]
        if install := _install(where, stage, words, folder, part.environment):
            self._install(install)
        elif name in _FILES:
            self.steps.append(Files(where, stage, (name, *words[1:]), folder))
        elif name not in _NOTHING and not _says_only(words):
            raise self._refused(one.line, part.text, "devctl cannot do that without a container")

    def _install(self, install: Install) -> None:
        """Without what devctl brings itself, and without the wheels that an earlier stage made of the same list."""
        words = list(install.words)
        if install.tool == "pip":
            for option in ("--wheel-dir", "-w"):
                for index, word in enumerate(words):
                    if word == option and index + 1 < len(words):
                        self._wheels.add(posixpath.normpath(posixpath.join(install.folder, words[index + 1])))
                        del words[index : index + 2]
                        break
                    if word.startswith(f"{option}="):
                        self._wheels.add(posixpath.normpath(posixpath.join(install.folder, word.partition("=")[2])))
                        del words[index]
                        break
            words = _without_our_tools(_without_pip_s_own(words))
            words = [
                word
                for word in words
                if posixpath.dirname(posixpath.normpath(posixpath.join(install.folder, word))) not in self._wheels
            ]
            if not any(_names_something(words, index) for index in range(len(words))):
                return
        self.steps.append(replace(install, words=tuple(words)))

    def _skip(self, where: str, part: shell.Command) -> None:
        text = " ".join(part.text.split())
        self.skipped.append(f"{where} {text if len(text) <= 100 else text[:99] + '…'}")

    def _where(self, one: Instruction) -> str:
        return f"{self._file}:{one.line}"

    def _refused(self, line: int, what: str, why: str) -> Refused:
        what = " ".join(what.split())
        what = what if len(what) <= 70 else what[:69] + "…"
        return Refused(
            f"{self._service.name} cannot be made without a container: {self._file}:{line}: {what}: {why}",
            hint="use containers: --runtime compose",
        )


def _version(text: str | None) -> str:
    """Return a version with its minor number; a bare 3 is any."""
    return text if text and "." in text else ""


def _shown(path: Path, root: Path) -> str:
    try:
        return str(path.resolve().relative_to(root.resolve()))
    except ValueError:
        return str(path)


def _from(path: Path, base: str) -> int:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    froms = [number for number, line in enumerate(lines, 1) if line.strip().upper().startswith("FROM ")]
    return next((number for number in froms if base and base in lines[number - 1]), froms[0] if froms else 0)


def _install(
    where: str, stage: str, words: tuple[str, ...], folder: str, environment: Mapping[str, str]
) -> Install | None:
    """Return what this command installs, if it is one that does."""
    words = (words[0].rpartition("/")[2], *words[1:])
    if re.fullmatch(r"python[\d.]*", words[0]):
        rest = [word for word in words[1:] if word not in ("-u", "-I", "-E", "-s")]
        if rest[:1] == ["-mpip"]:
            rest = ["-m", "pip", *rest[1:]]
        if rest[:1] != ["-m"] or len(rest) < 2 or rest[1] not in ("pip", "poetry", "pipenv", "uv"):
            return None
        words = tuple(rest[1:])
    if words[:2] == ("uv", "pip"):
        words = words[1:]
    tool = "pip" if re.fullmatch(r"pip[\d.]*", words[0]) else words[0]
    verbs = {"pip": ("install", "wheel"), "uv": ("sync",), "poetry": ("install",), "pipenv": ("install", "sync")}
    found = next((index for index, word in enumerate(words) if index and word in verbs.get(tool, ())), None)
    if found is None:
        return None
    return Install(where, stage, tool, (*words[1:found], *words[found + 1 :]), folder, environment)


def _says_only(words: tuple[str, ...]) -> bool:
    """Whether a package manager of Python does nothing here that counts: config, cache, --version, uninstall."""
    tool = words[0].rpartition("/")[2]
    if re.fullmatch(r"pip[\d.]*|pipx|poetry|pipenv|uv|python[\d.]*", tool) is None:
        return False
    if re.fullmatch(r"python[\d.]*", tool):
        return words[1:2] in (("--version",), ("-V",))
    verb = next((word for word in words[1:] if not word.startswith("-")), "")
    return verb in (
        "",
        "cache",
        "check",
        "config",
        "debug",
        "freeze",
        "list",
        "venv",
        "self",
        "python",
        "lock",
        "uninstall",
    )


def _without_pip_s_own(words: list[str]) -> list[str]:
    """Without the options that mean something to pip in an image alone."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skip:
            skip = False
        elif name in (
            "--find-links",
            "-f",
            "--cache-dir",
            "--timeout",
            "--default-timeout",
            "--retries",
            "--root-user-action",
            "--trusted-host",
            "--progress-bar",
            "--prefix",
            "--target",
            "-t",
            "--python",
        ):
            skip = not equals
        elif word in (
            "--no-cache-dir",
            "--no-cache",
            "--no-index",
            "--user",
            "--system",
            "--break-system-packages",
            "--compile",
            "--no-compile",
            "--quiet",
            "-q",
            "-qq",
            "--verbose",
            "-v",
            "--no-warn-script-location",
            "--ignore-installed",
            "-I",
            "--disable-pip-version-check",
            "--no-input",
            "--prefer-binary",
            "--use-pep517",
            "--no-use-pep517",
            "--force-reinstall",
            "-y",
            "--no-python-version-warning",
        ):
            continue
        else:
            kept.append("--upgrade" if word == "-U" else word)
    return kept


def _without_our_tools(words: list[str]) -> list[str]:
    """Without pip, poetry and the like: uv installs, whichever of them the image uses."""
    return [word for word in words if re.split(r"[=<>~!\[ ]", word)[0] not in _OURS]


def _names_something(words: list[str], index: int) -> bool:
    return (
        not words[index].startswith("-")
        or words[index] in ("-r", "-e", "--editable")
        or words[index].startswith(("-r", "--requirement", "--editable=", "--group", "-e"))
    )
