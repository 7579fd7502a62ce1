"""Processes of this machine: is it still the same one, what does it use, end it with all that it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from devctl.stack.port import Usage

_SAME_START_SECONDS = 5.0  # between our clock and the kernel's idea of when a process began
_KILL_SECONDS = 1.0  # a killed process is gone at once, unless the disk holds it
_FIRST_SAMPLE_SECONDS = 0.15  # CPU use is a difference: the first call has to wait for the second sample


@dataclass(frozen=True)
class Known:
    """A process as we remember it; the start time tells it from another one that got its number since."""

    pid: int
    started_at: float

    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            return self._began(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def family(self) -> list[psutil.Process]:
        """Return it and what runs in its process group, also when it is gone itself."""
        if psutil.boot_time() > self.started_at + _SAME_START_SECONDS:
            return []
        found = []
        for pid in psutil.pids():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(pid) == self.pid and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        leader = next((process for process in found if process.pid == self.pid), None)
        return [] if leader is not None and not self._began(leader) else found

    def _began(self, process: psutil.Process) -> bool:
        return abs(process.create_time() - self.started_at) < _SAME_START_SECONDS


def end(processes: Iterable[Known], grace_seconds: float) -> None:
    """Ask these to stop, and kill what is there of them and their families after that, or after the grace."""
    families = {known.pid: known.family() for known in processes}
    leaders = [process for pid, family in families.items() for process in family if process.pid == pid]
    for process in leaders:  # and they their children: Celery's would die in the middle of a task
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a stopped process hears nothing else
    _wait(leaders, grace_seconds)
    left = [process for family in families.values() for process in family if _runs(process)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    _wait(left, _KILL_SECONDS)


def end_alone(known: Known, grace_seconds: float) -> None:
    """End one that leads no group of its own: what it started is its own business."""
    if not known.alive():
        return
    process = psutil.Process(known.pid)
    for stop in (process.terminate, process.kill):
        with suppress(psutil.Error):
            stop()
        if not _wait([process], grace_seconds):
            return


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until they ended; returns those that did not. A zombie has ended: its parent may never ask for it."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Meter:
    """What processes use, with everything they started."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, float]] = {}

    def read(self, pids: dict[str, int]) -> dict[str, Usage]:
        """Return name -> usage; CPU is measured since the last call, the first time over a moment."""
        if any(pid not in self._before for pid in pids.values()):
            for pid in pids.values():
                self._cpu_percent(pid)
            time.sleep(_FIRST_SAMPLE_SECONDS)
        usages = {name: (self._cpu_percent(pid), _memory(pid)) for name, pid in pids.items()}
        return {name: Usage(cpu, memory) for name, (cpu, memory) in usages.items() if memory}

    def _cpu_percent(self, pid: int) -> float:
        now, used = time.monotonic(), 0.0
        for process in _tree(pid):
            with suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
        then, before = self._before.get(pid, (now, used))
        self._before[pid] = (now, used)
        # A child that ended since takes its time with it: less than nothing was not used.
        return max(0.0, 100 * (used - before) / (now - then)) if now > then else 0.0


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(pid: int) -> int:
    """Return bytes, shared pages divided among those who share them where the system tells (PSS), else all (RSS)."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.Error):
            try:
                total += process.memory_full_info().pss
            except (AttributeError, psutil.AccessDenied):
                total += process.memory_info().rss
    return total
