"""What the tests of the scripts share: calls as the worker makes them, and a look at everything that is in Redis."""

import json
from typing import Any, NamedTuple

import redis
from celery import Celery

from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.broker.lists import SEPARATOR
from celeriac.claim.claims import CLAIM
from celeriac.lease.leases import Lease, Leases
from celeriac.life.scribe import SILENT, Scribe
from celeriac.message.frame import frame
from celeriac.outcome.commit import Commit, packed
from celeriac.outcome.committer import OUTCOME, Committer
from celeriac.run.ends import Ends
from celeriac.run.intake import Intake

LEASE_US = 60_000_000
NO_BOUND = 1_000_000


class Claimed(NamedTuple):
    fence: int
    wait_ms: int
    messages: list[tuple[str, bytes]]
    starts: dict[str, int]
    full: list[str]
    more: bool = False

    @property
    def raws(self) -> list[bytes]:
        return [raw for _, raw in self.messages]


class Answer(NamedTuple):
    """Of outcome.lua, by tag."""

    refused: list[str]
    repeated: list[str]
    left: dict[str, str]


ALL_WELL = Answer([], [], {})


def queue_of(list_key: str) -> str:
    return list_key.partition(SEPARATOR)[0]


def message(task_id: str = "a", queue: str = "orders", **parts: Any) -> bytes:
    return frame("tasks.x", queue, [], task_id=task_id, **parts)


def tag_of(raw: bytes) -> str:
    return str(json.loads(raw)["properties"]["delivery_tag"])


def push(client: redis.Redis, *raws: bytes, to: str = "orders") -> None:
    client.lpush(to, *raws)


def claim(
    client: redis.Redis,
    *lists: str,
    want: int = 100,
    lease_us: int = LEASE_US,
    bound: int = NO_BOUND,
    scribe: Scribe = SILENT,
) -> Claimed:
    names = lists or ("orders",)
    dead = [keys.dead(queue_of(one)) for one in names]
    words = [keys.UNACKED, keys.LEASES, keys.DUE, keys.STARTS, *names, *dead]
    fence, wait, taken, before, full, *_, more = CLAIM(
        client, words, [len(names), lease_us, bound, scribe.length, scribe.who, want]
    )
    return Claimed(
        int(fence),
        wait,
        [(names[number], raw) for number, raws in zip(taken[::2], taken[1::2], strict=True) for raw in raws],
        {before[i].decode(): before[i + 1] for i in range(0, len(before), 2)},
        [names[i] for i in full],
        bool(more),
    )


def claim_one(client: redis.Redis, raw: bytes | None = None, lease_us: int = LEASE_US) -> tuple[str, int]:
    """Publish and claim one message: its tag and fence."""
    push(client, raw or message())
    claimed = claim(client, lease_us=lease_us)
    return tag_of(claimed.raws[-1]), claimed.fence


def outcome(client: redis.Redis, *commits: tuple[Commit, int]) -> Answer:
    """In one script."""
    words: list[Any] = [len(commits)]
    for commit, fence in commits:
        words += commit.arguments(fence)
    refused, repeated, left = OUTCOME(
        client, [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE], [packed(words), 0, ""]
    )
    return Answer(
        [tag.decode() for tag in refused],
        [tag.decode() for tag in repeated],
        {left[i].decode(): left[i + 1].decode() for i in range(0, len(left), 2)},
    )


def done(tag: str, task_id: str = "a", *, print_: str = "1", record: bool = True) -> Commit:
    """A success with all that it may have: record, result, effect, child."""
    commit = Commit(tag, task_id)
    if record:
        commit.record_key, commit.record, commit.record_ms = keys.once(task_id), f"done:{print_}", 60_000
    commit.result_key, commit.result, commit.result_seconds = f"celery-task-meta-{task_id}", b'"fine"', 60
    commit.effects = [("HINCRBY", "effects", task_id, 1)]
    commit.add_child("mail", f"child of {task_id}")
    return commit


def letter(tag: str, queue: str = "orders") -> Commit:
    commit = Commit(tag)
    commit.bury(keys.dead(queue), '{"reason": "permanent"}')
    return commit


def effects(client: redis.Redis, task_id: str = "a") -> int:
    return int(client.hget("effects", task_id) or 0)


def children(client: redis.Redis) -> int:
    return client.llen("mail")


def dead(client: redis.Redis, queue: str = "orders") -> list[tuple[bytes, dict[str, Any]]]:
    """Dead letters: the message, and what is told about it."""
    entries: Any = client.xrange(keys.dead(queue))
    return [(fields[b"raw"], json.loads(fields[b"about"])) for _, fields in entries]


def everything(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.keys()}  # noqa: SIM118  keys() is a command


def overdue(client: redis.Redis) -> None:
    """The time of all leases passes."""
    for tag in client.zrange(keys.LEASES, 0, -1):
        client.zadd(keys.LEASES, {tag: 1})


def ripen(client: redis.Redis) -> None:
    """The time of all that waits passes."""
    for member in client.zrange(keys.DUE, 0, -1):
        client.zadd(keys.DUE, {member: 1})


def full(client: redis.Redis) -> None:
    """No room for anything more."""
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)


def holding(client: redis.Redis, *raws: bytes, lease_seconds: float = 60.0) -> tuple[Committer, list[str]]:
    """A committer that has claimed these messages."""
    if raws:
        push(client, *raws)
    claimed = claim(client, lease_us=int(lease_seconds * 1e6))
    committer = committer_of(client, lease_seconds)
    tags = [tag_of(raw) for raw in claimed.raws]
    for tag in tags:
        committer.leases.held[tag] = Lease(claimed.fence, "orders")
    return committer, tags


def committer_of(client: redis.Redis, lease_seconds: float = 60.0, scribe: Scribe = SILENT) -> Committer:
    """What cannot be committed becomes a dead letter, as an intake makes it."""
    intake = Intake.__new__(Intake)
    connection = BrokerConnection(lambda: client, OUTCOME)
    intake.leases = Leases(connection, lease_seconds, scribe)
    intake.committer = Committer(connection, intake.leases, intake._impossible, scribe)
    app = Celery("x", broker="memory://", backend="cache+memory://", set_as_current=False)
    intake.ends = Ends(app, "worker@a", intake.committer.submit, lambda tag: 0)
    return intake.committer
