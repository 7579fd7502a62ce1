"""The port every runtime implements: Compose, local processes, and the fake that the tests use.

A runtime starts one service at a time and never waits; the waiting, the order and the explanations are in
`stack/start.py`, once for all runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from devctl.errors import DevctlError
from devctl.stack.model import Stack

State = Literal["created", "running", "restarting", "exited", "paused"]
Health = Literal["none", "starting", "healthy", "degraded", "unhealthy"]
WELL: Collection[Health] = ("healthy", "degraded")  # degraded: it does less than it should, and its check passes
DEGRADED = "degraded: "
"""So begins what a check that passes says then; what follows is why. So does `python -m celeriac.health`."""


@dataclass(frozen=True)
class Replica:
    """One container, or one supervised process."""

    service: str
    name: str
    """Unique in the stack: `worker-2`."""
    state: State
    health: Health = "none"
    exit_code: int | None = None
    restarts: int = 0
    started_at: float | None = None
    """Unix seconds."""
    ports: tuple[str, ...] = ()
    """`127.0.0.1:8001->8001`."""
    health_output: str = ""
    """What its health check last said, one or a few lines."""
    pid: int | None = None
    hostname: str = ""
    """A container's own: the node `celery@HOST` runs there. "" for a process that has the machine's."""


@dataclass(frozen=True)
class Usage:
    """What a replica uses now: CPU in percent of one core, memory in bytes."""

    cpu_percent: float
    memory_bytes: int


@dataclass(frozen=True)
class LogLine:
    """One line as the service wrote it; `time` (unix seconds) is when the runtime saw it, None where it is silent."""

    service: str
    replica: str
    text: str
    time: float | None = None


@dataclass(frozen=True)
class BuildProgress:
    """A line of a running build; service is "" where the builder does not say which."""

    service: str
    text: str


class Runtime(Protocol):
    """One way to run the services of a stack. All calls may raise DevctlError with a hint."""

    name: str
    """compose or local."""
    stack: Stack

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """Build the images of these services where the runtime has images; DevctlError with the failing lines."""

    def missing_images(self, services: Sequence[str]) -> list[str]:
        """Those services whose image has to be built or pulled before a start, or whose environment to be made."""

    def buildable(self, services: Sequence[str]) -> list[str]:
        """Those services that `build` makes something for."""

    def refusal(self, service: str) -> DevctlError | None:
        """Why this runtime cannot run a service, whatever its state; None where it can."""

    def remarks(self, services: Sequence[str]) -> list[str]:
        """What it leaves out of what the files say of these services, a line each."""

    def live(self, services: Sequence[str]) -> None:
        """Have these services run from the files of the checkout from their next start on, where they run from copies.

        Then a change of code needs a restart and no build. It holds for this object; without it, `start` goes back.
        """

    def prepare(self, services: Sequence[str], scale: Mapping[str, int]) -> None:
        """Hear what will be started soon, to make it ready to start where that saves time; `start` does without."""

    def start(self, *services: str, replicas: int | None = None) -> None:
        """Start these services without their dependencies and return at once; harmless when they run.

        Several at once, because a container engine takes a third of a second a call. replicas (for one service)
        None keeps what runs, or the Compose file's number.
        """

    def status(self) -> list[Replica]:
        """All replicas of the stack, one snapshot, cheap enough to poll five times a second."""

    def stale(self) -> list[str]:
        """The services that run older code than the checkout has: their files changed since they started."""

    def usage(self) -> Mapping[str, Usage]:
        """Replica name -> what it uses."""

    def stop(self, services: Sequence[str] | None = None, *, volumes: bool = False) -> None:
        """Stop these services and remove them; None: all, and everything else the stack owns, with volumes its data.

        volumes means nothing together with services: data goes as a whole.
        """

    def restart(self, services: Sequence[str]) -> None:
        """Restart the replicas of these services in place; returns when they were told, not when they are ready."""

    def run(
        self, service: str, debug_port: int | None = None, tell: Callable[[Sequence[str]], None] = lambda ports: None
    ) -> int:
        """Run a service's own command in this terminal, as one replica, until it ends; return its exit code.

        It has the settings, the addresses and the published ports of a replica; none may run beside it. With
        debug_port, it waits on that port of 127.0.0.1 for an editor (debugpy). `tell` gets its ports before it begins,
        as a replica has them. A Ctrl-C in this terminal is its usual end: 130. DevctlError where it cannot be run.
        """

    def check_debugpy(self, service: str) -> None:
        """DevctlError where `run` could not do it with a debug_port."""

    def in_terminal(self) -> list[str]:
        """The services that `run` has in some terminal now."""

    def end_run(self, service: str) -> None:
        """End what `run` left of this service, because its devctl was killed; harmless where there is nothing."""

    def logs(
        self, services: Sequence[str], *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AbstractContextManager[Iterator[LogLine]]:
        """The lines of these services, by time; leaving the context ends a follow and leaves no process behind."""

    def tail(self, replica: str, path: str, lines: int) -> tuple[str, ...]:
        """The last lines of a file as this replica sees it, also after its end; empty where there is none."""

    def address(self, service: str, target: int) -> tuple[str, int]:
        """Host and port, on this machine, of a published port; DevctlError where it is not published or not up."""
