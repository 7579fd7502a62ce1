"""A Redis, and a line to it that loses what it is told to lose."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CUT = "cut"  # the whole connection, in place of the bytes


class Line:
    """A TCP proxy. `requests` and `answers` see each piece on its way and say what goes on; CUT ends the connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.requests: Callable[[bytes], bytes | str] = lambda piece: piece
        self.answers: Callable[[bytes], bytes | str] = lambda piece: piece
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int, of: bytes = b"EVAL") -> None:
        """Lose the answers to the next `count` requests that hold these bytes; the requests arrive."""
        left, waiting = [count], []

        def requests(piece: bytes) -> bytes:
            if of in piece and left[0]:
                left[0] -= 1
                waiting.append(piece)
            return piece

        def answers(piece: bytes) -> bytes | str:
            if waiting:
                waiting.pop()
                return CUT
            return piece

        self.requests, self.answers = requests, answers

    def lose_requests(self, count: int, of: bytes = b"EVAL") -> None:
        """Lose the next `count` requests that hold these bytes, and their connections."""
        left = [count]

        def requests(piece: bytes) -> bytes | str:
            if of in piece and left[0]:
                left[0] -= 1
                return CUT
            return piece

        self.requests = requests

    def close(self) -> None:
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [near, far]
            for source, sink, through in ((near, far, "requests"), (far, near, "answers")):
                threading.Thread(target=self._carry, args=(source, sink, through), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, through: str) -> None:
        try:
            while piece := source.recv(1 << 20):
                goes_on = getattr(self, through)(piece)
                if goes_on == CUT:
                    break
                sink.sendall(goes_on)
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def client(redis_server: Any, redis_url: str) -> Iterator[redis.Redis]:
    """Of an empty Redis; answers are text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def line(redis_server: Any, redis_url: str) -> Iterator[Line]:
    line = Line(redis_server.port)
    yield line
    line.close()


def impatient(port: int, seconds: float = 0.3) -> redis.Redis:
    """A client that gives up soon and repeats nothing by itself."""
    return redis.Redis(port=port, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))
