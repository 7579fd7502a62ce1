"""Where devctl stands and what it was told: command line > environment > .env > defaults."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devctl import dotenv
from devctl.errors import DevctlError, UsageError

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""As Compose looks for them, in this order."""
OVERRIDES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
RUNTIMES = ("auto", "compose", "local")
DEFAULTS = {"DEVCTL_RUNTIME": "auto", "DEVCTL_STACK": ""}


@dataclass(frozen=True)
class Settings:
    """Read once, at the start of a command."""

    root: Path
    """The folder of the Compose file: what is relative in it is relative to this."""
    compose_file: Path
    """The first one."""
    runtime: str
    """auto, compose or local."""
    stack: str
    """The name of an isolated stack; empty for the checkout's own."""
    environment: Mapping[str, str]
    """The process environment over .env: what the Compose file is interpolated with."""
    overrides: tuple[Path, ...] = ()
    """Compose files that are merged over the first, in this order."""
    env_files: tuple[Path, ...] = ()
    """What was read besides the process environment: .env, or what COMPOSE_ENV_FILES names."""

    @property
    def compose_files(self) -> tuple[Path, ...]:
        """All Compose files, in the order in which they are merged."""
        return (self.compose_file, *self.overrides)

    @property
    def option(self) -> str:
        """What a next command needs, to mean this stack: ` --stack NAME`, or ""."""
        return f" --stack {self.stack}" if self.stack else ""

    @property
    def state(self) -> Path:
        """Where devctl keeps what it must remember; safe to delete when nothing runs."""
        return self.root / ".devctl"

    def make_state(self) -> None:
        """Make that folder. A checkout that does not ignore it stays clean all the same."""
        self.state.mkdir(parents=True, exist_ok=True)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")


@dataclass(frozen=True)
class Project:
    """The files that Compose would take."""

    files: tuple[Path, ...]
    env_files: tuple[Path, ...]


def find_project(start: Path, environ: Mapping[str, str]) -> Project:
    """Return the Compose files and .env of a folder, as Compose finds them; DevctlError where there are none.

    COMPOSE_FILE names them, in the environment or in .env; else the nearest folder that has one, with its override.
    """
    own = _env_files(start, environ)
    if given := environ.get("COMPOSE_FILE"):
        files = _named(given, start, environ)
        return Project(files, own or _dotenv(files[0].parent, environ))
    for folder in (start, *start.parents):
        env_files = own or _dotenv(folder, environ)
        written = _read(env_files, environ, dotenv.skip)  # a .env on the way may be somebody else's
        if given := written.get("COMPOSE_FILE"):
            return Project(_named(given, folder, ChainMap(dict(environ), written)), env_files)
        if file := _first(folder, COMPOSE_FILES):
            override = _first(folder, OVERRIDES)
            return Project((file, override) if override else (file,), env_files)
    raise DevctlError(
        f"no Compose file in {start} or above it",
        hint="run devctl in a folder that has one, or say where it is: COMPOSE_FILE=path/compose.yaml devctl …",
    )


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _named(given: str, folder: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    separator = environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    files = tuple((folder / name.strip()).resolve() for name in given.split(separator) if name.strip())
    for file in files:
        if not file.is_file():
            raise DevctlError(f"COMPOSE_FILE names {file}, which is not there", hint="echo $COMPOSE_FILE; cat .env")
    return files


def _env_files(start: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    files = tuple(start / name.strip() for name in environ.get("COMPOSE_ENV_FILES", "").split(",") if name.strip())
    for file in files:
        if not file.is_file():
            raise DevctlError(f"COMPOSE_ENV_FILES names {file}, which is not there", hint="echo $COMPOSE_ENV_FILES")
    return files


def _dotenv(folder: Path, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folder's .env; one that is a folder itself is none."""
    off = environ.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true")
    return () if off or not (folder / ".env").is_file() else (folder / ".env",)


def _read(files: Iterable[Path], environ: Mapping[str, str], wrong: Callable[[DevctlError], None]) -> dict[str, str]:
    values: dict[str, str] = {}
    for file in files:
        values |= dotenv.read(file, ChainMap(dict(environ), values), wrong)
    return values


def load(
    *,
    runtime: str | None = None,
    stack: str | None = None,
    start: Path | None = None,
    environ: Mapping[str, str] | None = None,
    forgiving: bool = False,
) -> Settings:
    """Find the Compose file and settle each value; arguments are what the command line said.

    Forgiving: without the lines of .env that are wrong, for who looks for them and tells.
    """
    environ = dict(os.environ if environ is None else environ)
    wrong = dotenv.skip if forgiving else dotenv.refuse
    project = find_project((start or Path.cwd()).resolve(), environ)
    environment = ChainMap(environ, _read(project.env_files, environ, wrong))
    said = {k: v for k, v in {"DEVCTL_RUNTIME": runtime, "DEVCTL_STACK": stack}.items() if v is not None}
    values = ChainMap(said, environment, DEFAULTS)
    if values["DEVCTL_RUNTIME"] not in RUNTIMES:
        raise UsageError(f"runtime {values['DEVCTL_RUNTIME']!r} is not known", hint=f"one of: {', '.join(RUNTIMES)}")
    return Settings(
        root=project.files[0].parent,
        compose_file=project.files[0],
        runtime=values["DEVCTL_RUNTIME"],
        stack=values["DEVCTL_STACK"],
        environment=environment,
        overrides=project.files[1:],
        env_files=project.env_files,
    )
