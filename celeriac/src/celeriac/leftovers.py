"""What of ours lies in a broker: what stock Celery does not know, and so would not run."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu.utils.json import loads

from celeriac.broker import keys
from celeriac.broker.lists import lists, queue_of
from celeriac.dead_letter import letters

if TYPE_CHECKING:
    import redis

AT_ONCE = 500
HARMLESS = (f"{keys.ONCE}*", f"{keys.UNCLAIMED}*", f"{keys.REVOKED}*", keys.LIFE)
NO_QUEUE = "?"  # of a message that nobody can read


@dataclass
class Leftovers:
    """Messages by queue, as they were counted one after the other: a worker that runs changes them meanwhile."""

    waiting: dict[str, int]
    """In a queue: stock Celery runs these."""
    due: dict[str, int]
    """Countdowns, ETAs, retries that wait for their time."""
    due_in_seconds: float | None
    """Until the last of them is due, by Redis's clock."""
    claimed: dict[str, int]
    """Claimed by workers of ours."""
    over: int
    """Of these, how many have a lease that is over: their worker is dead."""
    dead: dict[str, int]
    """Dead letters."""
    came_back: int
    """Messages whose starts are counted, since a worker died with them."""
    harmless: int
    """Keys that stock Celery does not look at, and that expire by themselves."""
    queues: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether stock Celery can go on alone."""
        return not (any(self.due.values()) or any(self.claimed.values()) or any(self.dead.values()) or self.came_back)


def look(client: "redis.Redis", queues: list[str] | None = None) -> Leftovers:
    """`queues`: to be listed, beside those where something is found. Raises the errors of redis-py."""
    seconds, micros = _time(client)
    now = seconds * 1_000_000 + micros
    due: Counter[str] = Counter()
    last = 0.0
    for member, when in _entries(client, keys.DUE):
        due[queue_of(member.partition(b"\n")[0])] += 1
        last = max(last, when)
    claimed, over = _claimed(client, now)
    dead = {queue: int(client.xlen(keys.dead(queue))) for queue in letters.queues(client)}
    named = sorted({*(queues or ()), *due, *claimed, *dead} - {NO_QUEUE})
    return Leftovers(
        waiting={queue: sum(_length(client, one) for one in lists(queue)) for queue in named},
        due=dict(due),
        due_in_seconds=max(0.0, (last - now) / 1e6) if due else None,
        claimed=claimed,
        over=over,
        dead={queue: count for queue, count in dead.items() if count},
        came_back=_number(client.hlen(keys.STARTS)),
        harmless=sum(1 for pattern in HARMLESS for _ in client.scan_iter(match=pattern, count=5_000)),
        queues=named,
    )


def _claimed(client: "redis.Redis", now: int) -> tuple[dict[str, int], int]:
    found: Counter[str] = Counter()
    over, tags = 0, []
    for tag, deadline in _entries(client, keys.LEASES):
        over += deadline < now
        tags.append(tag)
    for start in range(0, len(tags), AT_ONCE):
        entries: Any = client.hmget(keys.UNACKED, tags[start : start + AT_ONCE])
        found.update(_queue(entry) for entry in entries)
    return dict(found), over


def _queue(entry: bytes | None) -> str:
    try:
        _, _, routing_key = loads(entry or b"")
        return queue_of(routing_key)
    except Exception:  # somebody else wrote it
        return NO_QUEUE


def _entries(client: "redis.Redis", key: str) -> Iterator[tuple[bytes, float]]:
    yield from client.zscan_iter(key, count=AT_ONCE)


def _time(client: "redis.Redis") -> Any:
    return client.time()


def _length(client: "redis.Redis", key: str) -> int:
    """Of a list; 0 for a key of another kind, which is no queue."""
    return _number(client.llen(key)) if client.type(key) == b"list" else 0


def _number(value: Any) -> int:
    return int(value)


def as_dict(found: Leftovers) -> Mapping[str, Any]:
    """For `--json`."""
    return {**vars(found), "empty": found.empty}
