"""HTTP beside the worker, for probes and Prometheus: a few GETs, answered from a thread of the main process.

Small on purpose: one request a connection, a limit on everything, no threads that a slow client could use up."""

import asyncio
import json
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from celeriac.errors import SettingsError

MOST_HEAD_BYTES = 8 * 1024
MOST_CONNECTIONS = 64
REQUEST_SECONDS = 5.0
LINGER_SECONDS = 0.5
JSON = "application/json"

REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]\r\n")

log = structlog.get_logger("celeriac.worker.endpoints")


@dataclass(frozen=True)
class Answer:
    status: HTTPStatus
    body: bytes
    media_type: str = JSON

    def encode(self, *, head_only: bool = False) -> bytes:
        lines = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.media_type}",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + (b"" if head_only else self.body)


Route = Callable[[], Awaitable[Answer]]  # on the event loop: one that has to wait does so in a thread


def answer(status: HTTPStatus, /, **fields: Any) -> Answer:
    return Answer(status, json.dumps(fields).encode())


def problem(status: HTTPStatus, error: str, message: str) -> Answer:
    return answer(status, error=error, message=message)


class Endpoints:
    def __init__(self, listener: socket.socket, routes: Mapping[str, Route]) -> None:
        self._listener = listener
        self._routes = routes
        self._open = 0

    def start(self) -> None:
        threading.Thread(target=lambda: asyncio.run(self.serve()), name="endpoints", daemon=True).start()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connection, sock=self._listener, limit=MOST_HEAD_BYTES)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(await self._respond(reader))
                await writer.drain()
                writer.write_eof()
                await linger(reader)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return  # it went away, or never said what it wants
        finally:
            self._open -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> bytes:
        if self._open > MOST_CONNECTIONS:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too many connections.").encode()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            text = f"The request is larger than {MOST_HEAD_BYTES} bytes."
            return problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request_too_large", text).encode()
        line = REQUEST_LINE.match(head)
        if line is None:
            return problem(HTTPStatus.BAD_REQUEST, "bad_request", "This is not HTTP/1.1.").encode()
        method, path = line[1].decode(), line[2].decode().partition("?")[0]
        answered = await self.answer(method, path)
        # Asked every few seconds by machines; a line each would bury the rest.
        log.debug("http.request", method=method, path=path[:200], status=answered.status.value)
        return answered.encode(head_only=method == "HEAD")

    async def answer(self, method: str, path: str) -> Answer:
        route = self._routes.get(path)
        if route is None:
            return problem(HTTPStatus.NOT_FOUND, "not_found", f"There are {', '.join(self._routes)}.")
        if method not in {"GET", "HEAD"}:
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Only GET and HEAD.")
        try:
            return await route()
        except Exception:
            log.exception("http.failed", path=path)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "This is a bug of ours; the logs know.")


async def linger(reader: asyncio.StreamReader) -> None:
    """Take what is still being sent: closed before that, a connection is reset, and our answer with it."""
    left = 8 * MOST_HEAD_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 and (more := await reader.read(MOST_HEAD_BYTES)):
                left -= len(more)


def listen(
    host: str, port: int, backlog: int = MOST_CONNECTIONS, named: str = "HTTP_HOST={}, HTTP_PORT={}"
) -> socket.socket:
    """A socket that listens. Raises SettingsError, which names the settings that `named` does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, OverflowError) as exc:  # the second: no port is so high
        number = getattr(exc, "errno", None)
        why = os.strerror(number) if number and number > 0 else str(exc)  # below 0: a name that nobody knows
        raise SettingsError(f"{named.format(host, port)}: {why}; choose another port, or free this one") from exc
