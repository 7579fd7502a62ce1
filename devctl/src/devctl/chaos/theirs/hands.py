"""What is done to the containers of a copy. An engine keeps its restart policy out of what a user does by hand."""

from __future__ import annotations

from typing import Protocol

from devctl.chaos.hands import command
from devctl.errors import DevctlError
from devctl.stack.port import Replica


class Hands(Protocol):
    """A container, whatever runs in it."""

    def kill(self, replica: Replica) -> None:
        """SIGKILL to all of it."""

    def kill_process(self, replica: Replica, pid: int) -> None:
        """SIGKILL to one process in it, by its number there."""

    def stop(self, replica: Replica) -> None:
        """SIGTERM, its grace period, SIGKILL: as a deploy does."""

    def start(self, replica: Replica) -> None:
        """Run it again, as it is."""

    def freeze(self, replica: Replica) -> None:
        """SIGSTOP to all of it."""

    def thaw(self, replica: Replica) -> None:
        """SIGCONT to all of it."""


class Containers:
    """By the engine's own commands."""

    def __init__(self, project: str) -> None:
        self._project = project

    def _docker(self, *words: str, replica: Replica, then: tuple[str, ...] = ()) -> None:
        command("docker", *words, f"{self._project}-{replica.name}", *then)

    def kill(self, replica: Replica) -> None:
        self._docker("kill", replica=replica)

    def kill_process(self, replica: Replica, pid: int) -> None:
        try:
            self._docker("exec", "--user", "0", replica=replica, then=("sh", "-c", f"kill -9 {pid}"))
        except DevctlError as gone:
            if "No such process" not in gone.problem:
                raise

    def stop(self, replica: Replica) -> None:
        self._docker("stop", replica=replica)

    def start(self, replica: Replica) -> None:
        self._docker("start", replica=replica)

    def freeze(self, replica: Replica) -> None:
        self._docker("pause", replica=replica)

    def thaw(self, replica: Replica) -> None:
        self._docker("unpause", replica=replica)
