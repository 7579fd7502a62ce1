"""Whether a container engine is there, asked with two quick calls of the docker client."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

_PATIENCE_SECONDS = 5.0  # a daemon that hangs is a daemon that does not answer


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
