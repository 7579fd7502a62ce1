"""The network of the containers, for a Python process of this machine: its host, names of services, ports of its own.

Text is rewritten where it stands in settings. Where the code itself says `redis:6379`, or a server its usual port, no
text is there to rewrite: a few functions of `socket` find the address in DEVCTL_NETWORK. Only environments that
devctl made have this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "DEVCTL_NETWORK"
_MODULE = "devctl_network"
_CODE = '''\
"""Put here by devctl: the names and ports of the Compose file's network, on this machine."""

import json
import os
import socket

HERE = ("", "0.0.0.0", "::", "::1", "127.0.0.1", "localhost")


def mount(network):
    names = network["names"]
    own = {int(target): port for target, port in network["own"].items()}
    lookup, bind, connect, connect_ex = (
        socket.getaddrinfo, socket.socket.bind, socket.socket.connect, socket.socket.connect_ex,
    )
    by_name = socket.gethostbyname

    def text(host):
        return host.decode() if isinstance(host, bytes) else host

    def there(host, port):
        """Where a service is, as (host, port); None for another address."""
        host = text(host)
        if host in names:
            ports = names[host]
            return "127.0.0.1", ports.get(str(port), next(iter(ports.values()), port) if not port else port)
        if host in HERE and isinstance(port, int) and port in own:
            return "127.0.0.1", own[port]
        return None

    def getaddrinfo(host, port, *more, **named):
        found = there(host, port) if text(host) in names else None
        return lookup(*(found or (host, port)), *more, **named)

    def gethostbyname(host):
        return "127.0.0.1" if text(host) in names else by_name(host)

    def address(given):
        if isinstance(given, tuple) and len(given) >= 2:
            found = there(given[0], given[1])
            if found:
                return (given[0] if len(given) > 2 and text(given[0]) not in names else found[0], found[1], *given[2:])
        return given

    def bind_here(self, given):
        if isinstance(given, tuple) and len(given) >= 2 and text(given[0]) in HERE and given[1] in own:
            host = "127.0.0.1" if self.family == socket.AF_INET else given[0]
            given = (host, own[given[1]], *given[2:])
        return bind(self, given)

    socket.gethostname = lambda: network["host"]
    socket.getaddrinfo = getaddrinfo
    socket.gethostbyname = gethostbyname
    socket.socket.bind = bind_here
    socket.socket.connect = lambda self, given: connect(self, address(given))
    socket.socket.connect_ex = lambda self, given: connect_ex(self, address(given))


if os.environ.get("DEVCTL_NETWORK"):
    mount(json.loads(os.environ["DEVCTL_NETWORK"]))
'''


def install(programs: Path) -> None:
    """Have the Python beside these programs load it."""
    for packages in (programs.parent / "lib").glob("python*/site-packages"):
        (packages / f"{_MODULE}.py").write_text(_CODE, encoding="utf-8")
        (packages / f"{_MODULE}.pth").write_text(f"import {_MODULE}\n", encoding="utf-8")


def described(host: str, names: Mapping[str, Mapping[int, int]], own: Mapping[int, int]) -> str:
    """Return the variable's value: the host's name, each service's ports and its own; container port -> port here."""
    moved = {target: port for target, port in own.items() if target != port and target not in own.values()}
    known = {host: moved, **{name: dict(ports) for name, ports in names.items()}}
    return json.dumps({"host": host, "names": known, "own": moved})
