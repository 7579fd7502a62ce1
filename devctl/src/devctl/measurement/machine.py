"""What a figure was measured on: without it no two figures can be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from devctl.bench.meter import cpus
from devctl.broker.port import ServerInfo
from devctl.stack.model import Service

_PACKAGES = ("celery", "kombu", "redis", "celeriac", "devctl")


@dataclass(frozen=True)
class Machine:
    """The machine that devctl runs on, as it was before anything was started."""

    cpu_model: str
    cpus: int
    memory_bytes: int
    os: str
    python: str
    load_average: float | None
    """Of the last minute; None where the system does not say."""
    git_revision: str
    git_dirty: bool
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Workers:
    """How the workers are set up, as far as the Compose file says."""

    service: str
    pool: str
    concurrency: int | None


@dataclass(frozen=True)
class Environment:
    """All conditions of a bench."""

    machine: Machine
    runtime: str
    server: ServerInfo
    workers: Workers


def machine(root: Path) -> Machine:
    """Look at this machine and at the checkout in `root`."""
    import psutil

    revision = _git(root, "rev-parse", "--short=12", "HEAD")
    return Machine(
        cpu_model=_cpu_model(),
        cpus=cpus(),
        memory_bytes=psutil.virtual_memory().total,
        os=platform.platform(),
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        git_revision=revision,
        git_dirty=bool(revision and _git(root, "status", "--porcelain", "--untracked-files=no")),
        packages={name: _version(name) for name in _PACKAGES},
    )


def workers(service: Service) -> Workers:
    """Read the worker's settings from its environment in the Compose file."""
    concurrency = service.environment.get("WORKER_CONCURRENCY", "")
    return Workers(
        service=service.name,
        pool=service.environment.get("WORKER_POOL", ""),
        concurrency=int(concurrency) if concurrency.isdecimal() else None,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
