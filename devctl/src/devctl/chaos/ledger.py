"""The ledger as the bodies wrote it: a stream in a Redis of its own, apart from the broker that gets broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis

from devctl.chaos.observation import Run

_PAGE = 5_000


@dataclass(frozen=True)
class Line:
    """One start or finish."""

    task_id: str
    what: str
    by: str
    """Host and pid."""
    at: float
    """Unix seconds by this machine's clock."""
    said: float
    """What the body's own process held to be the time."""


class Ledger:
    """Reads one run's lines; `offset` is what the ledger's clock is behind this machine's."""

    def __init__(self, client: redis.Redis, run: str, now: float) -> None:
        from celeriac.workbench.chaos import ledger_key

        self._client, self._key = client, ledger_key(run)
        seconds, micros = client.time()
        self._offset = now - (seconds + micros / 1e6)

    def length(self) -> int:
        """Starts and finishes so far."""
        return int(self._client.xlen(self._key))

    def lines(self) -> Iterator[Line]:
        """All of them, in order."""
        last = "-"
        while page := self._page(last):
            for id_, fields in page:
                milliseconds, _, number = id_.decode().partition("-")
                at = int(milliseconds) / 1e3 + int(number) / 1e6 + self._offset
                said = {name.decode(): value.decode() for name, value in fields.items()}
                yield Line(said["id"], said["what"], said["by"], at, float(said["at"]))
            last = f"({page[-1][0].decode()}"

    def _page(self, after: str) -> list[Any]:
        return cast("list[Any]", self._client.xrange(self._key, min=after, count=_PAGE))

    def runs(self) -> dict[str, Run]:
        """Task id -> its starts and finishes."""
        starts: dict[str, list[tuple[float, str]]] = {}
        finishes: dict[str, list[tuple[float, str]]] = {}
        for line in self.lines():
            (starts if line.what == "start" else finishes).setdefault(line.task_id, []).append((line.at, line.by))
        return {id_: Run(tuple(starts.get(id_, ())), tuple(finishes.get(id_, ()))) for id_ in starts.keys() | finishes}
