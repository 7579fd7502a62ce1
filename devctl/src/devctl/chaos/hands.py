"""Hands on the processes of a stack: a signal to one, a command beside one. For each runtime its own."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Protocol

from devctl.errors import DevctlError
from devctl.stack.port import Replica

_SECONDS = 30.0


class Hands(Protocol):
    """What a fault does to a replica."""

    def signal(self, replica: Replica, number: signal.Signals, *, alone: bool = False) -> None:
        """Send it to the service's process, and to all that it started unless `alone`."""

    def run(self, replica: Replica, script: str) -> str:
        """Run a shell script where the replica sees its files; what it prints. DevctlError where it fails."""


class LocalHands:
    """The replica is a process group of this machine."""

    def signal(self, replica: Replica, number: signal.Signals, *, alone: bool = False) -> None:
        """To the whole group, as a terminal would."""
        if replica.pid is not None:
            with suppress(ProcessLookupError):
                (os.kill if alone else os.killpg)(replica.pid, number)

    def run(self, replica: Replica, script: str) -> str:
        """In the replica's own mount namespace; needs root."""
        return command("nsenter", "--mount", f"--target={replica.pid}", "sh", "-c", script)


class ContainerHands:
    """The replica is a container, with an init that passes its child's end on.

    Not `docker kill`: that counts as a wish of the user's, after which the restart policy keeps out of it.
    """

    def __init__(self, project: str) -> None:
        self._project = project

    def signal(self, replica: Replica, number: signal.Signals, *, alone: bool = False) -> None:
        """To the service's process, the child of the container's init; with what it started, to its group."""
        with suppress(DevctlError):  # it is gone: what a kill wants
            self.run(
                replica,
                f"for p in $(cat /proc/1/task/1/children); do kill -{int(number)} {'' if alone else '-'}$p; done",
            )

    def run(self, replica: Replica, script: str) -> str:
        """As the service's own user."""
        return command("docker", "exec", f"{self._project}-{replica.name}", "sh", "-c", script)


def command(*words: str) -> str:
    """Run it; what it prints. DevctlError where it fails."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise DevctlError(f"{words[0]} failed: {failed}") from failed
    if done.returncode:
        raise DevctlError(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return done.stdout.decode(errors="replace")
