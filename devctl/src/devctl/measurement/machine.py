"""The machine that figures hold for: without it no two of them can be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from devctl.measurement import quota

_PACKAGES = ("celery", "kombu", "redis", "celeriac", "devctl")


@dataclass(frozen=True)
class Machine:
    """The machine that devctl runs on, as it was before anything was started."""

    cpu_model: str
    cpus: int
    """That this process may use."""
    memory_bytes: int
    os: str
    python: str
    load_average: float | None
    """Of the last minute; None where the system does not say."""
    git_revision: str
    git_dirty: bool
    packages: Mapping[str, str]
    cpu_quota: float | None = None
    """How many CPUs' time the container that devctl runs in may use; None: no such limit."""

    @property
    def usable(self) -> float:
        """CPUs that can be used up."""
        return self.cpus if self.cpu_quota is None else min(self.cpus, self.cpu_quota)


def machine(root: Path) -> Machine:
    """Look at this machine and at the checkout in `root`."""
    import psutil

    revision = _git(root, "rev-parse", "--short=12", "HEAD")
    limit = quota.of()
    return Machine(
        cpu_model=_cpu_model(),
        cpus=_cpus(),
        memory_bytes=psutil.virtual_memory().total,
        os=platform.platform(),
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        git_revision=revision,
        git_dirty=bool(revision and _git(root, "status", "--porcelain", "--untracked-files=no")),
        packages={name: _version(name) for name in _PACKAGES},
        cpu_quota=limit.cpus if limit else None,
    )


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
