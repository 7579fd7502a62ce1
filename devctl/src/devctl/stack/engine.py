"""The container engine: whether it is there, and questions to it.

`look` asks the docker client, which says what is missing. `Daemon` asks the engine over its socket: the same answers as
`docker inspect`, without a process for each. A start asks ten times a second; a docker client takes 30 ms of CPU for
each call, the socket 2.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any
from urllib.parse import quote

from devctl.stack import http

_SOCKET = Path("/var/run/docker.sock")
_PATIENCE_SECONDS = 5.0  # a daemon that hangs is a daemon that does not answer
_OK, _NOT_FOUND = 200, 404


@dataclass(frozen=True)
class Engine:
    """What the docker client said; an empty string where there is nothing."""

    client: bool
    server: str = ""
    """The engine's version."""
    compose: str = ""
    """The version of the Compose plugin."""
    said: str = ""
    """The client's own words, where the engine does not answer."""

    @property
    def usable(self) -> bool:
        """An engine answers, and Compose v2 is there."""
        return bool(self.server and self.compose)

    @property
    def lack(self) -> tuple[str, str]:
        """What is missing and how to get it; two empty strings where nothing is."""
        if not self.client:
            return "no docker client on PATH", "install a container engine with Compose v2"
        if not self.server:
            return "no container engine answers", f"start it; docker says: {self.said or 'nothing'}"
        if not self.compose:
            return "docker has no Compose v2 (`docker compose`)", "install the docker-compose-plugin package"
        return "", ""


def look(environment: Mapping[str, str] | None = None) -> Engine:
    """Ask the docker client on PATH, with DOCKER_HOST and the like from `environment` (default: ours)."""
    env = dict(environment) if environment is not None else None
    docker = shutil.which("docker", path=env.get("PATH") if env is not None else None)
    if docker is None:
        return Engine(client=False)
    asked = [
        Popen([docker, *words], stdin=DEVNULL, stdout=PIPE, stderr=PIPE, text=True, env=env)
        for words in (("version", "--format", "{{.Server.Version}}"), ("compose", "version", "--short"))
    ]
    (server, said), (compose, _) = (_answer(process) for process in asked)
    return Engine(client=True, server=server, compose=compose if compose[:1].strip("v") != "1" else "", said=said)


def _answer(process: Popen[str]) -> tuple[str, str]:
    """Return (stdout, last line of stderr); no stdout where the call failed."""
    try:
        out, err = process.communicate(timeout=_PATIENCE_SECONDS)
    except TimeoutExpired:
        process.kill()
        process.communicate()
        return "", f"no answer in {_PATIENCE_SECONDS:.0f} s"
    said = err.strip().splitlines()
    return (out.strip() if process.returncode == 0 else ""), (said[-1] if said else "")


class Away(Exception):  # never reaches a command: the docker client is asked instead
    """No socket, or no answer there."""


class Daemon:
    """A container engine on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Daemon | None:
        """The engine that the docker client would talk to; None where that is not a plain socket of this machine."""
        host = environment.get("DOCKER_HOST", "")
        if host:
            return cls(Path(host.removeprefix("unix://"))) if host.startswith("unix://") else None
        folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
        try:
            chosen = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("currentContext", "")
        except (OSError, ValueError, AttributeError):
            chosen = ""
        context = environment.get("DOCKER_CONTEXT") or chosen
        return cls(_SOCKET) if context in ("", "default") else None

    def containers(self, label: str) -> list[dict[str, Any]]:
        """What `docker inspect` says of the containers with this label."""
        filters = quote(json.dumps({"label": [label]}))
        ids = [one["Id"] for one in self._get(f"/containers/json?all=1&filters={filters}") or []]
        return [found for id_ in ids if (found := self._get(f"/containers/{id_}/json")) is not None]

    def sample(self, container: str) -> dict[str, Any]:
        """The counters of CPU and memory now; empty where the container is gone."""
        return self._get(f"/containers/{container}/stats?stream=false&one-shot=true") or {}

    def image(self, name: str) -> dict[str, Any]:
        """What `docker image inspect` says of how an image of this machine is run; empty where it is not here."""
        return (self._get(f"/images/{quote(name, safe='/')}/json") or {}).get("Config") or {}

    def answers(self) -> bool:
        """Whether an engine is there."""
        try:
            return self._ask("/_ping")[0] == _OK
        except Away:
            return False

    def _get(self, path: str) -> Any:
        """Ask; None for what is not there (any more)."""
        status, body = self._ask(path)
        if status == _NOT_FOUND:
            return None
        try:
            answer = json.loads(body)
        except ValueError as broken:
            raise Away(str(broken)) from broken
        if status != _OK:
            raise Away(str(answer))
        return answer

    def _ask(self, path: str) -> tuple[int, bytes]:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.settimeout(_PATIENCE_SECONDS)
                connection.connect(str(self._path))
                return http.get(connection, path)
            except OSError as silent:
                raise Away(str(silent)) from silent
