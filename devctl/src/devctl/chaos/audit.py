"""How often each of millions of tasks had its effect: one byte of memory for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import redis

_PAGE = 5_000
_MOST = 255


class Audit:
    """Counts the entries of the stream of effects, and removes them."""

    def __init__(self) -> None:
        self._counts = bytearray()
        self._last = b"0-0"
        self.done = 0
        """Tasks whose effect happened."""

    def read(self, client: redis.Redis, key: str) -> None:
        """Count what is new. What was counted and could not be removed is not counted again."""
        while found := cast("list[Any]", client.xread({key: self._last}, count=_PAGE)):
            ((_, entries),) = found
            for _, fields in entries:
                self.count(int(fields[b"n"]))
            self._last = entries[-1][0]
            client.xtrim(key, minid=self._last.decode(), approximate=False)

    def count(self, number: int) -> None:
        """One effect of this task."""
        self._extend(number + 1)
        self.done += not self._counts[number]
        self._counts[number] = min(_MOST, self._counts[number] + 1)

    def missing(self, accepted: int) -> Iterator[int]:
        """Of the first so many tasks, those that had no effect."""
        self._extend(accepted)
        at = self._counts.find(0)
        while 0 <= at < accepted:
            yield at
            at = self._counts.find(0, at + 1)

    def doubled(self, sent: int) -> int:
        """Tasks with more than one effect, and those of which nobody sent the message: only `sent` were."""
        return sum(times > 1 for times in self._counts[:sent]) + sum(times > 0 for times in self._counts[sent:])

    def _extend(self, length: int) -> None:
        if length > len(self._counts):
            self._counts.extend(bytes(length + _PAGE - len(self._counts)))
