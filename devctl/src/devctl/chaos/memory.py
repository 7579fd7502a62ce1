"""The memory of workers and Redis while a soak goes on, once a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import redis

from devctl.chaos.curve import Curve
from devctl.stack.port import Replica

SAMPLE_SECONDS = 1.0
SETTLE_SECONDS, YOUNG_SECONDS = 30.0, 10.0
"""Until Redis holds all that it holds at any time (records of 15 s); until a worker has imported and run everything."""


class Memory:
    """Takes samples, and makes curves of them."""

    def __init__(self, begun: float) -> None:
        self._begun = self._looked = begun
        self._redis: list[int] = []
        self._workers: list[dict[str, tuple[int, int]]] = []
        """Worker -> process id, bytes."""

    def due(self, now: float) -> bool:
        """Whether it is time for a sample."""
        return now - self._looked >= SAMPLE_SECONDS

    def look(self, client: redis.Redis, workers: Sequence[Replica], now: float) -> None:
        """Take a sample; RedisError where Redis is away."""
        self._looked = now
        self._redis.append(int(client.info("memory")["used_memory"]))
        self._workers.append(
            {one.name: (one.pid, used) for one in workers if one.pid is not None and (used := _used(one))}
        )

    def curves(self, spared: str) -> Iterator[Curve]:
        """Of all workers together, of the last life of the one that is spared, of Redis."""
        seconds = max(0.01, (self._looked - self._begun) / max(1, len(self._workers)))
        settled, young = round(SETTLE_SECONDS / seconds), round(YOUNG_SECONDS / seconds)
        together = [sum(used for _, used in sample.values()) for sample in self._workers]
        yield Curve("all workers", seconds, tuple(together), settled)
        yield Curve(f"{spared}, spared", seconds, tuple(self._life(spared)), young)
        yield Curve("Redis", seconds, tuple(self._redis), settled)

    def _life(self, name: str) -> list[int]:
        """The memory of the process that this worker is at the end."""
        found: list[int] = []
        pid = self._workers[-1].get(name, (0, 0))[0] if self._workers else 0
        for sample in reversed(self._workers):
            if name in sample and sample[name][0] != pid:
                break
            found += [sample[name][1]] if name in sample else []
        return found[::-1]


def _used(replica: Replica) -> int:
    """Bytes of a replica's processes, what they share divided among them; 0 where it cannot be read."""
    import psutil

    try:
        process = psutil.Process(replica.pid)
        family = [process, *process.children(recursive=True)]
        return sum(getattr(info, "pss", 0) or info.rss for info in (one.memory_full_info() for one in family))
    except psutil.Error:
        return 0
