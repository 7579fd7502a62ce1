"""HTTP to a service or an engine of this machine: one GET, and where a service answers it.

`http.client` takes longer to import than these requests take.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from devctl.stack.model import Service

_HTTP = re.compile(r"https?://[^/\s:]+:(\d+)")
_PATIENCE_SECONDS = 0.5
_OK = 200


def get(connection: socket.socket, path: str) -> tuple[int, bytes]:
    """Return status and body; OSError where the other side does not speak HTTP, or is too slow for the socket."""
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())  # 1.0: no chunks, closed at the end
    answer = b""
    while part := connection.recv(1 << 16):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not head.startswith(b"HTTP/") or not words[1].isdigit():
        raise OSError("the answer is not HTTP")
    return int(words[1]), body


def addresses_of(service: Service, ports: Sequence[str]) -> list[str]:
    """`http://127.0.0.1:8001` where the health check speaks HTTP to that port, else `127.0.0.1:6379`."""
    spoken = set(_HTTP.findall(" ".join(service.healthcheck.test))) if service.healthcheck else set()
    found = []
    for text in ports:
        published, _, target = text.partition("->")
        published = published.replace("0.0.0.0:", "127.0.0.1:")  # bound everywhere is here, too
        found.append(f"http://{published}" if target in spoken else published)
    return found


def with_docs(address: str) -> str:
    """The address of the service's API documentation where it has one at /docs, else the address itself."""
    if not address.startswith("http://"):
        return address
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _PATIENCE_SECONDS) as connection:
            return f"{address}/docs" if get(connection, "/docs")[0] == _OK else address
    except OSError:
        return address
