"""Reads the records of steps: those that hold a text, those that are new, and how far back they go."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.life.extent import Extent
from celeriac.life.record import Record
from celeriac.life.unpack import records

if TYPE_CHECKING:
    import redis

# Redis serves nobody else while it looks at a piece: about a millisecond for this.
PIECE_BYTES = 100_000
MOST_TEXTS = 16
"""In one pass: with more, Redis needs longer than to send all entries."""
_PAGE = 1_000
_USUAL = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"
_USUAL_ID = re.compile(_USUAL)
_ALL_USUAL = re.compile(rb"(?=(" + _USUAL + rb"))")
"""Whatever stands around them: one pass over a text finds as much as one for each word."""

_FIND = Script("life/find")


class Life:
    """The records that lie in this Redis."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def find(self, texts: Iterable[str], since: float = 0.0) -> list[Record]:
        """The records, by time, of entries that hold one of these texts. An entry may hold other records, too.
        `since`: only entries of this time and later."""
        words = [one.encode() for one in dict.fromkeys(texts) if one]
        if not words:
            return []
        if len(words) > MOST_TEXTS:
            return self._sift(words, str(int(since * 1_000)))
        start, found = str(int(since * 1_000)), list[Record]()
        while True:
            last, entries = cast("Any", _FIND(self._client, [keys.LIFE], [start, PIECE_BYTES // len(words), *words]))
            for at in range(0, len(entries), 2):
                fields = entries[at + 1]
                found += records(entries[at], dict(zip(fields[::2], fields[1::2], strict=True)))
            if not last:
                return found
            start = f"({last.decode()}"

    def _sift(self, words: list[bytes], start: str) -> list[Record]:
        found, usual = list[Record](), {word for word in words if _USUAL_ID.fullmatch(word)}
        others = [word for word in words if word not in usual]
        while page := cast("list[Any]", self._client.xrange(keys.LIFE, start, "+", count=_PAGE)):
            for entry, fields in page:
                text = b"".join(fields.values())
                if not usual.isdisjoint(_ALL_USUAL.findall(text)) or any(word in text for word in others):
                    found += records(entry, fields)
            start = f"({page[-1][0].decode()}"
        return found

    def newest(self) -> str:
        """The id of the last entry; "0" where there is none."""
        last = cast("list[Any]", self._client.xrevrange(keys.LIFE, count=1))
        return last[0][0].decode() if last else "0"

    def follow(self, after: str, wait_seconds: float = 0.0) -> tuple[str, list[Record]]:
        """The records behind the entry of this id, at most a thousand entries, and the id to go on with. If there is
        none, it waits so long for one: less than the time-out of the client."""
        block = round(wait_seconds * 1_000) or None
        answer = cast("list[Any]", self._client.xread({keys.LIFE: after}, count=_PAGE, block=block))
        if not answer:
            return after, []
        page = answer[0][1]
        return page[-1][0].decode(), [record for entry, fields in page for record in records(entry, fields)]

    def now(self) -> float:
        """Redis's clock."""
        seconds, micros = self._client.time()
        return seconds + micros / 1e6

    def span(self) -> Extent:
        """From when to when, and how much."""
        pipe = self._client.pipeline(transaction=False)
        pipe.xrange(keys.LIFE, count=1)
        pipe.xrevrange(keys.LIFE, count=1)
        pipe.xlen(keys.LIFE)
        pipe.memory_usage(keys.LIFE, samples=20)
        first, last, entries, size = pipe.execute()
        return Extent(_seconds(first), _seconds(last), entries, size or 0)


def _seconds(page: list[Any]) -> float | None:
    return int(page[0][0].partition(b"-")[0]) / 1_000 if page else None
