"""Where devctl stands and what it was told: command line > environment > .env > defaults."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devctl import dotenv
from devctl.errors import DevctlError, UsageError

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
RUNTIMES = ("auto", "compose", "local")
DEFAULTS = {"DEVCTL_RUNTIME": "auto", "DEVCTL_STACK": ""}


@dataclass(frozen=True)
class Settings:
    """Read once, at the start of a command."""

    root: Path
    """The folder of the Compose file."""
    compose_file: Path
    runtime: str
    """auto, compose or local."""
    stack: str
    """The name of an isolated stack; empty for the checkout's own."""
    environment: Mapping[str, str]
    """The process environment over .env: what the Compose file is interpolated with."""

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


def find_compose_file(start: Path) -> Path:
    """Return the nearest Compose file at or above `start`; DevctlError where there is none."""
    for folder in (start, *start.parents):
        for name in COMPOSE_FILES:
            if (folder / name).is_file():
                return folder / name
    raise DevctlError(
        f"no Compose file in {start} or above it",
        hint="run devctl inside a checkout that has a docker-compose.yml",
    )


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
    compose_file = find_compose_file((start or Path.cwd()).resolve())
    wrong = dotenv.skip if forgiving else dotenv.refuse
    environment = ChainMap(environ, dotenv.read(compose_file.parent / ".env", environ, wrong))
    said = {k: v for k, v in {"DEVCTL_RUNTIME": runtime, "DEVCTL_STACK": stack}.items() if v is not None}
    values = ChainMap(said, environment, DEFAULTS)
    if values["DEVCTL_RUNTIME"] not in RUNTIMES:
        raise UsageError(f"runtime {values['DEVCTL_RUNTIME']!r} is not known", hint=f"one of: {', '.join(RUNTIMES)}")
    return Settings(
        root=compose_file.parent,
        compose_file=compose_file,
        runtime=values["DEVCTL_RUNTIME"],
        stack=values["DEVCTL_STACK"],
        environment=environment,
    )
