"""The one Redis of a bench: its own, in memory only, on a free port; emptied between runs."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from children import Children, Failed
from devctl.stack.local.redis import binary
from tally import DATABASE

CHUNK = 1_000
NAMED = ("redis_version", "valkey_version", "server_name")


class Server:
    """Clients of the two databases, and what the bench asks them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.broker: Any = redis.Redis(port=port)
        self.side: Any = redis.Redis(port=port, db=DATABASE)

    def name(self) -> str:
        """Its kind and version."""
        info = self.broker.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def version(self) -> tuple[int, ...]:
        """Of Redis; Valkey says the one that it came from."""
        return tuple(map(int, self.broker.info("server")["redis_version"].split(".")))

    def empty(self) -> None:
        """As after its start."""
        self.broker.flushall()

    def cpu_seconds(self) -> float:
        """Used by its main thread since its start."""
        info = self.broker.info("cpu")
        main = "_main_thread" if "used_cpu_user_main_thread" in info else ""
        return float(info[f"used_cpu_user{main}"] + info[f"used_cpu_sys{main}"])

    def commands(self) -> dict[str, dict[str, float]]:
        """Command -> calls and microseconds, since it was emptied."""
        found = self.broker.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): {"calls": one["calls"], "usec": one["usec"]} for name, one in found.items()
        }

    def length(self, key: str) -> int:
        """Of a list, a stream, a sorted set, a hash; 0 if it is not there."""
        ask = {"list": "LLEN", "stream": "XLEN", "zset": "ZCARD", "hash": "HLEN"}
        kind = self.broker.type(key).decode()
        return int(self.broker.execute_command(ask[kind], key)) if kind in ask else 0

    def count(self, pattern: str) -> int:
        """How many keys match."""
        return sum(1 for _ in self.broker.scan_iter(pattern, count=10_000))

    def save(self, file: Path) -> None:
        """Every key of the broker's database into a file, so that a backlog is published only once."""
        keys = list(self.broker.scan_iter(count=10_000))
        with file.open("wb") as out:
            for begin in range(0, len(keys), CHUNK):
                pipe = self.broker.pipeline(transaction=False)
                for key in keys[begin : begin + CHUNK]:
                    pipe.dump(key)
                pickle.dump(list(zip(keys[begin : begin + CHUNK], pipe.execute(), strict=True)), out)

    def load(self, file: Path) -> None:
        """The keys of that file."""
        with file.open("rb") as saved:
            while saved.peek(1):
                pipe = self.broker.pipeline(transaction=False)
                for key, value in pickle.load(saved):  # noqa: S301  # we have just written it
                    pipe.restore(key, 0, value)
                pipe.execute()
        self.broker.config_resetstat()


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with Children(folder) as children:
        children.start([binary(os.environ.get("PATH", "")), *options], {})
        server, end = Server(port), time.monotonic() + 10
        while True:
            children.check()
            try:
                server.broker.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > end:
                    raise Failed("the bench's Redis does not answer") from None
                time.sleep(0.02)
        yield server
        server.broker.close()
        server.side.close()
