"""Removing messages that nobody is to run any more, so that the same work can be published again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common_tasks.transport import keys
from common_tasks.transport.scripts import Script

if TYPE_CHECKING:
    import redis

# In one script, which blocks everybody else.
MESSAGES, BYTES, LETTERS = 200, 1_000_000, 100

REMOVE = Script("remove")


def purge(client: "redis.Redis", lists: Sequence[str]) -> int:
    """All that wait in these lists, and all that become due there; how many. In small steps: workers go on meanwhile.
    What comes while it runs stays, and so does what is claimed."""
    removed = _due(client, lists)  # first: what becomes due meanwhile is in its list then
    return removed + sum(_list(client, one, int(client.llen(one))) for one in lists)


def drop(client: "redis.Redis", stream: str, ids: Sequence[str]) -> int:
    """Dead letters; how many were there."""
    parts = [ids[start : start + LETTERS] for start in range(0, len(ids), LETTERS)]
    return sum(int(REMOVE(client, [stream], ["letters", *part])[0]) for part in parts)


def _due(client: "redis.Redis", lists: Sequence[str]) -> int:
    removed, cursor = 0, "0"
    while True:
        now, after = REMOVE(client, [keys.DUE], ["due", cursor, *lists])
        removed += int(now)
        cursor = _text(after)
        if cursor == "0":
            return removed


def _list(client: "redis.Redis", name: str, most: int) -> int:
    removed = 0
    while removed < most:
        now, _ = REMOVE(client, [name], ["list", min(MESSAGES, most - removed), BYTES])
        if not now:
            break
        removed += int(now)
    return removed


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
