"""One bench at a time on a stack: two would scale the same workers and measure each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from devctl.errors import DevctlError
from devctl.settings import Settings

PATIENCE_SECONDS, AGAIN_SECONDS = 5.0, 0.1


@dataclass(frozen=True)
class Lock:
    """A lock that is held: until every process ended that has its descriptor open."""

    descriptor: int | None
    """None on a system without such locks."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process that takes over gets passed."""
        return () if self.descriptor is None else (self.descriptor,)


def file_of(settings: Settings) -> Path:
    """The lock of this stack."""
    return settings.state / f"measuring-{settings.stack or 'main'}.lock"


@contextmanager
def alone(file: Path, patience: float = PATIENCE_SECONDS) -> Iterator[Lock]:
    """Hold the lock for a block, and for as long as a guard that has it lives; DevctlError where another one has it.

    Waits a little where only the guard of an owner that died still has it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system; the price is that a second bench is not noticed
        yield Lock(None)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with file.open("a+", encoding="ascii") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _wait_or_refuse(held, end)
            else:
                break
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield Lock(held.fileno())


def _wait_or_refuse(held: TextIO, end: float) -> None:
    held.seek(0)
    owner = held.read().strip()
    if not owner or _lives(owner):
        raise DevctlError(
            f"another bench or demo is running on this stack (pid {owner or '?'})",
            hint="wait for its end, or measure on a stack of its own: devctl up --isolated",
        )
    if time.monotonic() >= end:
        raise DevctlError(
            f"the last bench or demo on this stack (pid {owner}) was cut short, and is still being put back",
            hint=f"try again in a moment; what is done: {Path(held.name).parent / 'guard'}",
        )
    time.sleep(AGAIN_SECONDS)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
