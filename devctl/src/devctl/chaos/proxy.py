"""A TCP proxy that misbehaves on request. A program of its own, without any library: it runs in containers too.

    python -m devctl.chaos.proxy --listen 0.0.0.0:6379 --to redis:6379 --control 0.0.0.0:7000

GET  /health           200
GET  /counts           what happened so far, as JSON
POST /rules            {"delay_ms": 50, "lose_requests": 0.01, "lose_replies": 0.01, "seed": 1}: from now on
POST /stall            the connections of now go silent for ever, and stay open; new ones work
POST /cut              the connections of now are reset
"""

import argparse
import asyncio
import json
import random
import socket
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER, no time: a close becomes a reset
STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found"}


@dataclass
class Rules:
    """What is done to what passes."""

    delay_ms: float = 0.0
    """Each reply comes so much later."""
    lose_requests: float = 0.0
    """This share of what clients send is not passed on, and the connection is reset."""
    lose_replies: float = 0.0
    """The same for what the server sends: it was done, and nobody hears of it."""
    seed: int = 1


@dataclass
class Counts:
    """What happened."""

    connections: int = 0
    lost_requests: int = 0
    lost_replies: int = 0
    stalled: int = 0
    swallowed_bytes: int = 0
    delayed: int = 0
    cut: int = 0


class Connection:
    """A client, the server, and what runs between them."""

    def __init__(self, proxy: "Proxy", client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.silent = False

    async def requests(self, reader: asyncio.StreamReader) -> None:
        """From the client to the server."""
        while data := await reader.read(CHUNK):
            if self.silent:
                self.proxy.counts.swallowed_bytes += len(data)
            elif self.proxy.loses(self.proxy.rules.lose_requests):
                self.proxy.counts.lost_requests += 1
                self.reset()
            else:
                self.server.write(data)
                await self.server.drain()

    async def replies(self, reader: asyncio.StreamReader) -> None:
        """From the server to the client, each at its time: a delay must not become a queue."""
        later: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writer = asyncio.create_task(self._deliver(later))
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(CHUNK):
                if self.silent:
                    self.proxy.counts.swallowed_bytes += len(data)
                elif self.proxy.loses(self.proxy.rules.lose_replies):
                    self.proxy.counts.lost_replies += 1
                    self.reset()
                else:
                    delay = self.proxy.rules.delay_ms / 1000
                    self.proxy.counts.delayed += delay > 0
                    later.put_nowait((clock() + delay, data))
        finally:
            writer.cancel()

    async def _deliver(self, later: "asyncio.Queue[tuple[float, bytes]]") -> None:
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while True:
                due, data = await later.get()
                if (left := due - clock()) > 0:
                    await asyncio.sleep(left)
                self.client.write(data)
                await self.client.drain()

    def reset(self) -> None:
        """End both sides at once, without a farewell."""
        for writer in (self.client, self.server):
            reset(writer)


class Proxy:
    """All connections to one server."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.rules, self.counts = Rules(), Counts()
        self._random = random.Random(self.rules.seed)  # noqa: S311  # the same faults in every run
        self._open: set[Connection] = set()

    def loses(self, share: float) -> bool:
        """Whether this one is lost."""
        return share > 0 and self._random.random() < share

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either side ends."""
        try:
            from_server, to_server = await asyncio.open_connection(self._host, self._port)
        except OSError:
            reset(writer)  # as if nobody listened
            return
        connection = Connection(self, writer, to_server)
        self._open.add(connection)
        self.counts.connections += 1
        ways = [
            asyncio.create_task(connection.requests(reader)),
            asyncio.create_task(connection.replies(from_server)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._open.discard(connection)
        for one in (writer, to_server):
            one.close()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request over HTTP."""
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next((int(x[15:]) for x in head.lower().split("\r\n") if x.startswith("content-length:")), 0)
            status, answer = self.told(head.partition(" HTTP/")[0], await reader.readexactly(length))
            body = json.dumps(answer).encode()
            start = f"HTTP/1.1 {status} {STATUS[status]}\r\nContent-Type: application/json\r\n"
            writer.write(f"{start}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    def told(self, what: str, body: bytes) -> tuple[int, object]:
        """Do what was asked for; status and answer."""
        match what:
            case "GET /health":
                return 200, {"status": "ok"}
            case "GET /counts":
                return 200, asdict(self.counts)
            case "POST /rules":
                try:
                    self.rules = Rules(**json.loads(body))
                except (ValueError, TypeError):
                    return 400, {"known": [one.name for one in fields(Rules)]}
                self._random = random.Random(self.rules.seed)  # noqa: S311
            case "POST /stall":
                for connection in self._open:
                    self.counts.stalled += not connection.silent
                    connection.silent = True
            case "POST /cut":
                self.counts.cut += len(self._open)
                for connection in list(self._open):
                    connection.reset()
            case _:
                return 404, {}
        return 200, asdict(self.counts)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a crash of its other side would."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def address(text: str) -> tuple[str, int]:
    """`redis:6379`."""
    host, _, port = text.rpartition(":")
    return host, int(port)


async def main(listen: str, to: str, control: str) -> None:
    """Serve until killed."""
    proxy = Proxy(*address(to))
    servers = [
        await asyncio.start_server(proxy.serve, *address(listen), backlog=1024),
        await asyncio.start_server(proxy.control, *address(control)),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="A TCP proxy that misbehaves on request.")
    for name in ("--listen", "--to", "--control"):
        options.add_argument(name, required=True, metavar="HOST:PORT")
    asyncio.run(main(**vars(options.parse_args())))
