"""Dead letters: messages that nobody will run as they are, kept byte for byte in a stream for each queue.

for letter in read(client, newest_first=True): print(letter.id, letter.reason, letter.error)
replay(client, find(client, "orders/1764165837123-0"))      # transport/replaying.py
"""

import heapq
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from celeriac.broker import keys
from celeriac.broker import removal as removing
from celeriac.broker.scripts import Script

if TYPE_CHECKING:
    import redis

BOUND = 10_000  # of a queue; with more, workers stop to claim from it. To trim dead letters would lose messages
# A page is read within a millisecond or two, however large the messages are.
PAGE_LETTERS, PAGE_BYTES = 200, 1_000_000

_LETTERS = Script("dead_letter/letters")
_STREAM_ID = re.compile(r"[0-9]+-[0-9]+")


class Reason(StrEnum):
    """Why a message is a dead letter."""

    PERMANENT = "permanent"
    RETRIES_EXHAUSTED = "retries-exhausted"
    POISON = "poison"  # it was started as often as it may, and each time its worker died or hung
    UNDECODABLE = "undecodable"
    UNKNOWN_TASK = "unknown-task"
    WRONG_PAYLOAD = "wrong-payload"
    CONFLICT = "conflict"  # its task_id was used for another payload


@dataclass(frozen=True)
class Letter:
    """One dead letter. A field that is not known is None."""

    id: str
    """`<queue>/<id in its stream>`."""
    queue: str
    reason: str
    """A Reason, or a word of a newer version."""
    time: float
    """When it became a dead letter; unix seconds, Redis's clock."""
    size: int
    """Bytes of the message."""
    error: str | None = None
    task: str | None = None
    task_id: str | None = None
    starts: int | None = None
    retries: int | None = None
    replays: int | None = None
    worker: str | None = None
    published_at: float | None = None
    correlation_id: str | None = None
    raw: bytes | None = None
    """The message, byte for byte as it was in the queue. None from `read`, which does not fetch messages."""


def queues(client: "redis.Redis") -> list[str]:
    """The queues that have, or had, dead letters."""
    found = client.scan_iter(match=f"{keys.DEAD}*", count=5_000, _type="stream")
    return sorted({key.decode(errors="replace").removeprefix(keys.DEAD) for key in found})


def read(
    client: "redis.Redis",
    *,
    queue: str = "",
    older_than: float | None = None,
    newer_than: float | None = None,
    newest_first: bool = False,
) -> Iterator[Letter]:
    """The letters of one queue or of all, by time, without their messages; ages in seconds. It asks for a page
    whenever one was read: what dies or is dropped meanwhile may or may not be in it."""
    seconds, micros = client.time()
    now = seconds * 1_000 + micros // 1_000
    first = "-" if newer_than is None else str(max(0, now - round(newer_than * 1_000)))
    last = "+" if older_than is None else str(max(0, now - round(older_than * 1_000)))
    streams = [_pages(client, one, first, last, newest_first) for one in ([queue] if queue else queues(client))]
    return heapq.merge(*streams, key=_order, reverse=newest_first)


def find(client: "redis.Redis", letter_id: str) -> Letter | None:
    """One dead letter with its message; None if there is no such letter (any more)."""
    stream, stream_id = key_and_id(letter_id)
    for found, fields in cast("list[Any]", client.xrange(stream, stream_id, stream_id)):
        raw = fields.get(b"raw", b"")
        return _letter(stream.removeprefix(keys.DEAD), found, fields.get(b"about", b""), len(raw), raw)
    return None


def drop(client: "redis.Redis", letter_ids: Iterable[str]) -> int:
    """Delete dead letters for ever. Returns how many there were. The same work can be published again then."""
    streams: dict[str, list[str]] = {}
    for letter_id in letter_ids:
        stream, stream_id = key_and_id(letter_id)
        streams.setdefault(stream, []).append(stream_id)
    return sum(removing.drop(client, stream, ids) for stream, ids in streams.items())


def key_and_id(letter_id: str) -> tuple[str, str]:
    """The stream of a dead letter, and its id in the stream. Raises ValueError for a wrong id."""
    queue, _, stream_id = letter_id.rpartition("/")
    if not (queue and _STREAM_ID.fullmatch(stream_id)):
        raise ValueError(f"not the id of a dead letter, such as orders/1764165837123-0: {letter_id}")
    return keys.dead(queue), stream_id


def _pages(client: "redis.Redis", queue: str, first: str, last: str, newest_first: bool) -> Iterator[Letter]:
    command, start, end = ("XREVRANGE", last, first) if newest_first else ("XRANGE", first, last)
    while page := _LETTERS(client, [keys.dead(queue)], [command, start, end, PAGE_LETTERS, PAGE_BYTES]):
        for at in range(0, len(page), 3):
            yield _letter(queue, *page[at : at + 3])
        start = f"({page[-3].decode()}"


def _order(letter: Letter) -> tuple[int, int]:
    milliseconds, _, number = letter.id.rpartition("/")[2].partition("-")
    return int(milliseconds), int(number)


def _letter(queue: str, stream_id: bytes, about: bytes, size: int, raw: bytes | None = None) -> Letter:
    said = _object(about)
    found = stream_id.decode()
    return Letter(
        id=f"{queue}/{found}",
        queue=queue,
        reason=_text(said, "reason") or "unknown",
        time=int(found.partition("-")[0]) / 1_000,
        size=size,
        error=_text(said, "error"),
        task=_text(said, "task"),
        task_id=_text(said, "task_id"),
        starts=_count(said, "starts"),
        retries=_count(said, "retries"),
        replays=_count(said, "replays"),
        worker=_text(said, "worker"),
        published_at=_moment(said, "published_at"),
        correlation_id=_text(said, "correlation_id"),
        raw=raw,
    )


def _object(about: bytes) -> dict[str, Any]:
    try:
        said = json.loads(about)
    except ValueError:  # something else wrote it; its message is kept and shown all the same
        return {}
    return said if isinstance(said, dict) else {}


def _text(said: dict[str, Any], name: str) -> str | None:
    return str(said[name]) if said.get(name) not in (None, "") else None


def _count(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if isinstance(value, int) else None


def _moment(said: dict[str, Any], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e12 else None
