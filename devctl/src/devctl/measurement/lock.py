"""One bench, chaos run or demo at a time on a machine: two would measure each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from devctl.errors import DevctlError

FOLDER, NAME = "/tmp", "devctl-measuring.lock"  # noqa: S108  # the one that all users of a machine share
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


def file() -> Path:
    """The lock of this machine: of all users, checkouts and stacks on it. DEVCTL_LOCKS: another folder, for tests."""
    return Path(os.environ.get("DEVCTL_LOCKS") or FOLDER) / NAME


@contextmanager
def alone(file: Path, checkout: Path, patience: float = PATIENCE_SECONDS) -> Iterator[Lock]:
    """Hold the lock for a block, and for as long as a guard that has it lives; DevctlError where another one has it.

    Waits a little where only the guard of an owner that died still has it.
    """
    try:
        import fcntl

        held = _open(file)
    except (ImportError, OSError):  # no such locks here, or no such folder: a second bench is not noticed then
        yield Lock(None)
        return
    end = time.monotonic() + patience
    with held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _wait_or_refuse(held, end)
            else:
                break
        held.seek(0)
        held.truncate()
        held.write(f"{os.getpid()}\n{checkout}\n")
        held.flush()
        yield Lock(held.fileno())


def _open(file: Path) -> TextIO:
    """All users may lock it, so all may write it. It stays: whoever removed it would make two locks of one."""
    with suppress(FileExistsError):
        # Not opened and made in one: in /tmp, Linux refuses that for a file that somebody else has made.
        made = os.open(file, os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(made, 0o666)
        os.close(made)
    return os.fdopen(os.open(file, os.O_RDWR | os.O_NOFOLLOW), "r+", encoding="utf-8")


def _wait_or_refuse(held: TextIO, end: float) -> None:
    held.seek(0)
    owner, _, checkout = held.read().strip().partition("\n")
    if not owner or _lives(owner):
        raise DevctlError(
            f"another bench, chaos run or demo is running on this machine (pid {owner or '?'}, in {checkout or '?'})",
            hint="wait for its end: two at a time would disturb each other",
        )
    if time.monotonic() >= end:
        raise DevctlError(
            f"the last bench, chaos run or demo here (pid {owner}) was killed, and its changes are still being undone",
            hint=f"try again in a moment; its log: {Path(checkout) / '.devctl' / 'guard'}",
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
