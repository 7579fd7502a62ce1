"""Deletes messages together with the note of publish once, so that the same work can be published again."""

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celeriac.broker import keys
from celeriac.broker.scripts import Script

if TYPE_CHECKING:
    import redis

# In one call of the script: Redis serves nobody else meanwhile.
MESSAGES, BYTES, LETTERS = 200, 1_000_000, 100

REMOVE = Script("broker/remove")


def purge(client: "redis.Redis", lists: Sequence[str]) -> int:
    """Delete all messages that wait in these lists, or are due there later. Returns how many. It works in small steps,
    between which workers go on. Messages that are claimed, and those that come while it runs, stay."""
    removed = _due(client, lists)  # first: a message that becomes due now moves to its list, which comes next
    return removed + sum(_list(client, one, int(client.llen(one))) for one in lists)


def drop(client: "redis.Redis", stream: str, ids: Sequence[str]) -> int:
    """Delete dead letters. Returns how many there were."""
    parts = [ids[start : start + LETTERS] for start in range(0, len(ids), LETTERS)]
    return sum(int(REMOVE(client, [stream], ["letters", _who(), *part])[0]) for part in parts)


def _due(client: "redis.Redis", lists: Sequence[str]) -> int:
    removed, cursor = 0, "0"
    while True:
        now, after = REMOVE(client, [keys.DUE], ["due", _who(), cursor, *lists])
        removed += int(now)
        cursor = _text(after)
        if cursor == "0":
            return removed


def _list(client: "redis.Redis", name: str, most: int) -> int:
    removed = 0
    while removed < most:
        now, _ = REMOVE(client, [name], ["list", _who(), min(MESSAGES, most - removed), BYTES])
        if not now:
            break
        removed += int(now)
    return removed


def _who() -> str:
    """For the record."""
    return f"{os.getpid()}@{socket.gethostname()}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
