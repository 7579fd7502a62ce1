"""Ports of this machine: is one free, who holds it, and which variable of the Compose file moves it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from devctl.errors import DevctlError


@dataclass(frozen=True)
class Holder:
    """A process that listens; pid None where the system does not tell (another user's process)."""

    pid: int | None = None
    command: str = ""

    @property
    def container(self) -> bool:
        """Whether it only passes a container's port on: ending it would not end the container."""
        return self.command.startswith(("docker-proxy", "rootlessport", "com.docker"))

    def __str__(self) -> str:
        if self.container:
            return "a container"
        if self.pid is None:
            return "another process"
        return f"{self.command or 'a process'} (pid {self.pid})"


def free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def another(port: int, host: str = "127.0.0.1") -> int:
    """Return a free port that is easily told from a taken one: 8011 for 8001."""
    near = range(port + 10, min(port + 500, 65_000), 10)
    return next((one for one in near if free(one, host)), None) or any_free()


def holder(port: int) -> Holder:
    """Return who listens on a port."""
    import psutil

    try:
        pids = [
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        ]
    except psutil.AccessDenied:  # macOS shows only one's own processes
        pids = [process.pid for process in psutil.process_iter() if _listens(process, port)]
    pid = next((pid for pid in pids if pid), None)
    if pid is None:
        return Holder()
    try:
        return Holder(pid, _shown(psutil.Process(pid).cmdline()))
    except psutil.Error:
        return Holder(pid)


def in_use(service: str, port: int, variable: str = "") -> DevctlError:
    """Return the error for a port that is taken; `variable` is what the Compose file reads it from."""
    who = holder(port)
    move = (
        f"{variable}={another(port)} devctl up {service}"
        if variable
        else f"change the port of {service} in the Compose file"
    )
    return DevctlError(
        f"port {port} is in use: {who} listens there, and {service} needs it",
        hint=f"{move}, or beside it on free ports: devctl up {service} --isolated" + _stop(who, port),
    )


def _stop(who: Holder, port: int) -> str:
    if who.container:
        return f"\nor stop the container: docker ps --filter publish={port}"
    return f"\nor stop it: kill {who.pid}" if who.pid else ""


def _listens(process: object, port: int) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections)


def _shown(command: list[str]) -> str:
    """The program and its first words: enough to know it again, not a whole line."""
    words = [command[0].rpartition("/")[2], *command[1:4]] if command else []
    text = " ".join(" ".join(words).split())  # `python -c` may be given lines
    return text if len(text) <= 40 else text[:39] + "…"
