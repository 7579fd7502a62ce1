"""One GET over an open socket. `http.client` takes longer to import than these requests take."""

from __future__ import annotations

import socket


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
