"""The CPU quota of a control group: a container with `cpus: 0.5` has half a CPU, however many the machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Quota:
    """The smallest one that holds for a process, and the group that has it."""

    cpus: float
    _usage: Path

    def used_seconds(self) -> float | None:
        """CPU that all processes of the group together have used so far; None where the system does not say."""
        try:
            text = self._usage.read_text(encoding="ascii")
        except OSError:
            return None
        if self._usage.name == "cpuacct.usage":
            return int(text) / 1e9
        return next((int(line.split()[1]) / 1e6 for line in text.splitlines() if line.startswith("usage_usec ")), None)


def of(pid: int | None = None, proc: Path = PROC, groups: Path = GROUPS) -> Quota | None:
    """The quota of this process, or of another one of this machine; None where there is none."""
    try:
        lines = (proc / (str(pid) if pid is not None else "self") / "cgroup").read_text(encoding="ascii").splitlines()
    except OSError:  # gone, or a system without control groups
        return None
    found: list[Quota] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if ".." in PurePosixPath(path).parts:  # in no group that can be seen from here
            continue
        if not controllers:
            found += _above(groups, path, _unified)
        elif "cpu" in controllers.split(","):
            base = next((groups / name for name in (controllers, "cpu") if (groups / name).is_dir()), None)
            found += _above(base, path, _of_version_1) if base else []
    return min(found, key=lambda one: one.cpus, default=None)


def _above(base: Path, path: str, read: Callable[[Path], Quota | None]) -> list[Quota]:
    """Those of the group and of the groups around it. In a container the mount begins with the container's own."""
    group = base / path.strip("/")
    around = [group, *(parent for parent in group.parents if parent == base or base in parent.parents)]
    return [quota for folder in around if (quota := read(folder))]


def _unified(folder: Path) -> Quota | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    return Quota(int(quota) / int(period), folder / "cpu.stat") if quota.isdigit() and period.isdigit() else None


def _of_version_1(folder: Path) -> Quota | None:
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit()):  # -1: no quota
        return None
    usage = folder / "cpuacct.usage"
    if not usage.exists():  # the two controllers are mounted apart
        usage = Path(*("cpuacct" if part == "cpu" else part for part in usage.parts))
    return Quota(int(quota) / int(period), usage)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
