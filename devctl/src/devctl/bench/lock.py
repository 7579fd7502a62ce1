"""One bench at a time on a stack: two would scale the same workers and measure each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devctl.errors import DevctlError


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold the lock for a block, at most as long as this process lives; DevctlError where another one has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system; the price is that a second bench is not noticed
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            raise DevctlError(
                f"another bench or demo is running on this stack (pid {held.read().strip() or '?'})",
                hint="wait for its end, or measure on a stack of its own: devctl up --isolated",
            ) from None
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield
