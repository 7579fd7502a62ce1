"""Messages on their way to a queue."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from celeriac.broker.keys import DUE
from celeriac.broker.lists import lists
from celeriac.correlation import Request
from celeriac.life.pack import publishes
from celeriac.life.scribe import SILENT, Scribe

# One call of publish.lua carries a chunk: large enough for few round trips, small enough not to block Redis.
CHUNK_MESSAGES, CHUNK_BYTES = 500, 1_000_000
# Longer than any backlog should take. The first state that a worker stores replaces it.
MARKER_MS = 7 * 24 * 3600 * 1000


def marker(task_id: str) -> bytes:
    """A result entry that says PENDING, as stock readers expect it. With it, a task that waits differs from one that
    was never published."""
    entry: dict[str, Any] = {"status": "PENDING", "result": None, "traceback": None, "children": [], "date_done": None}
    return msgspec.json.encode(entry | {"task_id": task_id})


pack = msgspec.msgpack.Encoder().encode
# What publish.lua answers for a message.
PUSHED, THERE, FULL, CONFLICT, MISSING, UNCHECKED = 1, 0, -1, -2, 2, 3


class Outgoing(NamedTuple):
    """One message, ready to be published once."""

    task: str
    task_id: str
    queue: str
    list: str
    fingerprint: str
    life_ms: int  # how long its id is remembered
    raw: bytes
    due_us: int = 0  # of Redis's clock; 0: at once
    marker: bytes = b""  # a first result, stored in the same step as the push if there is no result yet
    correlation_id: str = ""  # for the log; "": no line in the log
    # For its record: the HTTP request that it comes from, root and parent if it has others than itself, further facts.
    request: Request | None = None
    root: str = ""
    parent: str = ""
    more: dict[str, Any] | None = None
    sending: Any = None  # what looks at it on its way, see `sending`

    @property
    def way(self) -> tuple[str, str, int, int]:
        """What all messages of one chunk must have in common."""
        return self.list, self.queue, self.due_us, self.life_ms


def chunks(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """In order, each for one call."""
    chunk: list[Outgoing] = []
    size = 0
    for message in messages:
        size += len(message.raw)
        if chunk and (len(chunk) == CHUNK_MESSAGES or size > CHUNK_BYTES or message.way != chunk[0].way):
            yield chunk
            chunk, size = [], len(message.raw)
        chunk.append(message)
    if chunk:
        yield chunk


def words(
    chunk: list[Outgoing], bound: int, *, declared: bool = False, scribe: Scribe = SILENT
) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV for publish.lua. `declared`: this publisher has declared the queue."""
    first = chunk[0]
    # As one argument: redis-py looks at each, which for a chunk costs more than all that Redis does with it.
    # All as text, which Redis's MessagePack has; it has no bytes.
    packed = pack(
        [word for one in chunk for word in (one.task_id, one.fingerprint, one.raw.decode(), one.marker.decode())]
    )
    record = publishes(scribe.who, chunk) if scribe.length else b""
    arguments = [bound, first.life_ms, first.due_us, MARKER_MS, int(declared), scribe.length, packed, record]
    return [first.list, DUE, *lists(first.queue)], arguments
