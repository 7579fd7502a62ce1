"""The records of steps, as a broker's adapter hands them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from celeriac.life import stream
from celeriac.life.extent import Extent

if TYPE_CHECKING:
    from celeriac.life.record import Record


class StoredLife:
    """Those in a Redis; what its client raises becomes a problem with a name."""

    why_none = ""

    def __init__(self, records: stream.Life, answering: Callable[[], AbstractContextManager[None]]) -> None:
        self._records = records
        self._answering = answering

    def find(self, texts: Sequence[str], since: float = 0.0) -> list[Record]:
        """The records of entries that hold one of these texts."""
        with self._answering():
            return self._records.find(texts, since)

    def newest(self) -> str:
        """The id of the last entry."""
        with self._answering():
            return self._records.newest()

    def follow(self, after: str, wait_seconds: float = 0.0) -> tuple[str, list[Record]]:
        """The records behind this entry."""
        with self._answering():
            return self._records.follow(after, wait_seconds)

    def now(self) -> float:
        """Redis's clock."""
        with self._answering():
            return self._records.now()

    def span(self) -> Extent:
        """From when to when there are records."""
        with self._answering():
            return self._records.span()


class NoLife:
    """None are written here."""

    def __init__(self, why_none: str) -> None:
        self.why_none = why_none

    def find(self, texts: Sequence[str], since: float = 0.0) -> list[Record]:
        """None."""
        return []

    def newest(self) -> str:
        """As of an empty stream."""
        return "0"

    def follow(self, after: str, wait_seconds: float = 0.0) -> tuple[str, list[Record]]:
        """None."""
        return after, []

    def now(self) -> float:
        """This machine's clock."""
        return time.time()

    def span(self) -> Extent:
        """Nothing."""
        return Extent(None, None, 0, 0)
