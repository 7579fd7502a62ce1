"""`worker=4` on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from devctl.errors import UsageError
from devctl.stack.model import Stack

MOST = 100
"""Replicas of a service: a worker needs some 50 MB, and a machine has tens of them, not thousands."""


def parse(texts: Iterable[str], stack: Stack) -> dict[str, int]:
    """Return service -> replicas; UsageError for what is neither."""
    counts = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or not number.isascii() or not number.isdigit():
            raise UsageError(
                f"{text!r} is no scale", hint=f"SERVICE=N, such as {next(iter(stack.workers), 'worker')}=4"
            )
        if int(number) > MOST:
            raise UsageError(f"{text}: {MOST} replicas of a service are the most here", hint=f"{name}={MOST}, or fewer")
        counts[stack.resolve([name])[0]] = int(number)
    return counts
