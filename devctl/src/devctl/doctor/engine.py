"""The container engine: it may be missing, as the local runtime needs none."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack import identity

_PATIENCE_SECONDS = 5.0
_ENGINE = (25, 0)  # the first that knows start_interval: before it, ready is seen after a whole interval
_COMPOSE = (2, 20)  # the first that passes start_interval on; additional_contexts came with 2.17


def engine(facts: Facts) -> Iterator[Check]:
    """Docker, Compose and Buildx: there, answering, recent enough."""
    found = facts.engine
    lack, fix = found.lack
    if lack:
        if facts.settings.runtime == "compose" or identity.last_runtime(facts.settings) == "compose":
            yield Check("engine", "problem", lack, f"without containers: --runtime local; else {fix}")
        else:
            yield Check("engine", "warning", f"{lack}: the local runtime will be used", fix)
        return
    buildx = _buildx(facts)
    versions = {"Docker": found.server, "Compose": found.compose, "Buildx": buildx}
    shown = (f"{name} {_numbers(version)}" for name, version in versions.items() if version)
    yield Check("engine", "ok", ", ".join(shown))
    if not buildx:
        yield Check("buildx", "warning", "missing: images cannot be built", "install the docker-buildx-plugin package")
    if _version(found.server) < _ENGINE:
        yield Check(
            "engine age",
            "warning",
            f"Docker {found.server} ignores start_interval: services are seen as ready late",
            "25.0 or later",
        )
    if _version(found.compose) < _COMPOSE:
        yield Check(
            "compose age", "warning", f"Compose {found.compose} does not know all that the file says", "2.20 or later"
        )


def runtime(facts: Facts) -> Iterator[Check]:
    """Where commands would run services now, and why."""
    try:
        name, reason = facts.subject.runtime_choice
    except DevctlError:
        return  # the engine is missing although it was asked for: said there
    yield Check("runtime", "ok", f"{name} ({reason})")


def docker_says(facts: Facts, *words: str) -> str:
    """Stdout of a docker command; empty where it fails or takes too long."""
    done = _docker(facts, *words)
    return done.stdout.strip() if done is not None and done.returncode == 0 else ""


def _docker(facts: Facts, *words: str) -> subprocess.CompletedProcess[str] | None:
    """A docker command that has ended; None where there is no docker, or it takes too long."""
    environment = dict(facts.settings.environment)
    docker = shutil.which("docker", path=environment.get("PATH"))
    if docker is None:
        return None
    try:
        return subprocess.run(
            [docker, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _buildx(facts: Facts) -> str:
    return _numbers(docker_says(facts, "buildx", "version"))


def _numbers(text: str) -> str:
    """`26.1.5` from "26.1.5+dfsg1", which is a distribution's own."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found[0] if found else ""


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (999, 0)  # an unknown shape is no reason to warn
