"""What is in the broker's Redis: waiting, claimed, due, dead, done. Works on ours and on stock Celery's keys."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
UNACKED, LEASES, DUE, ONCE, DEAD = "unacked", "celery-leases", "celery-due", "celery-once-", "celery-dead-"
META = "celery-task-meta-"
_CHUNK = 2_000


@dataclass(frozen=True)
class Depth:
    """How much is not finished."""

    waiting: int
    claimed: int
    due: int

    def __str__(self) -> str:
        return f"{self.waiting:,} waiting, {self.claimed:,} claimed, {self.due:,} not yet due"

    @property
    def empty(self) -> bool:
        """Nothing is left to do."""
        return not (self.waiting or self.claimed or self.due)


def _lists(queues: Iterable[str]) -> list[str]:
    return [queue + priority for queue in queues for priority in PRIORITIES]


def depth(client: redis.Redis, queues: Iterable[str]) -> Depth:
    """One look, one round trip."""
    pipe = client.pipeline(transaction=False)
    for key in _lists(queues):
        pipe.llen(key)
    pipe.hlen(UNACKED)
    pipe.zcard(DUE)
    *lists, claimed, due = pipe.execute()
    return Depth(sum(lists), claimed, due)


def ids(client: redis.Redis, queues: Sequence[str]) -> frozenset[str]:
    """The task ids of all that is not finished; of what moves meanwhile, too."""
    found = _listed(client, queues)
    found += [entry.partition(b"\n")[2] for entry in cast("list[bytes]", client.zrange(DUE, 0, -1))]
    for entry in cast("Mapping[bytes, bytes]", client.hgetall(UNACKED)).values():
        try:
            message = json.loads(entry)[0]
        except (ValueError, LookupError, TypeError):
            continue
        found.append(message.encode() if isinstance(message, str) else json.dumps(message).encode())
    found += _listed(client, queues)  # what was claimed at the first look may have been given back since
    return frozenset(id_ for raw in found if (id_ := task_id(raw)))


def _listed(client: redis.Redis, queues: Iterable[str]) -> list[bytes]:
    return [raw for key in _lists(queues) for raw in cast("list[bytes]", client.lrange(key, 0, -1))]


def raws(client: redis.Redis, queues: Iterable[str]) -> Counter[bytes]:
    """All messages that are not finished, byte for byte; of what stock workers hold only those that are ASCII."""
    found = Counter(_listed(client, queues))
    found.update(entry.partition(b"\n")[2] for entry in cast("list[bytes]", client.zrange(DUE, 0, -1)))
    for entry in cast("Mapping[bytes, bytes]", client.hgetall(UNACKED)).values():
        found[entry.removeprefix(b"[").rpartition(b',"",')[0]] += 1
    return found


def task_id(raw: bytes) -> str:
    """The id that a message says it has, of either protocol; "" where it says none."""
    try:
        message = json.loads(raw)
        headers = message["headers"]
        return _printable(headers["id"] if "task" in headers else json.loads(base64.b64decode(message["body"]))["id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def payload_id(raw: bytes) -> str:
    """The task id in a message's payload; "" where there is none."""
    try:
        return _printable(json.loads(base64.b64decode(json.loads(raw)["body"]))[0][0]["task_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _printable(value: object) -> str:
    """Half a surrogate pair can stand in JSON, and in no key of Redis."""
    return str(value).encode(errors="replace").decode()


@dataclass(frozen=True)
class Letter:
    """A dead letter, as far as a verdict needs it."""

    stream: str
    raw: bytes
    reason: str
    task_id: str


def letters(client: redis.Redis, queues: Iterable[str]) -> list[Letter]:
    """All dead letters of these queues."""
    found = []
    for queue in queues:
        last = "-"
        while page := cast("list[Any]", client.xrange(DEAD + queue, min=last, count=_CHUNK)):
            for _, fields in page:
                about = json.loads(fields.get(b"about", b"{}"))
                raw = fields.get(b"raw", b"")
                id_ = str(about.get("task_id") or task_id(raw))
                found.append(Letter(DEAD + queue, raw, str(about.get("reason", "")), id_))
            last = f"({page[-1][0].decode()}"
    return found


def effects(client: redis.Redis, run: str) -> dict[str, int]:
    """Task id -> how often its effect was applied."""
    from celeriac.workbench.chaos import effects_key

    found = cast("Mapping[bytes, bytes]", client.hgetall(effects_key(run)))
    return {id_.decode(): int(times) for id_, times in found.items()}


def finished(client: redis.Redis, task_ids: Collection[str], results: redis.Redis | None = None) -> frozenset[str]:
    """Those with a result "SUCCESS", or with the record of a committed outcome."""
    wanted, found = list(task_ids), set()
    for begin in range(0, len(wanted), _CHUNK):
        chunk = wanted[begin : begin + _CHUNK]
        records = cast("list[bytes | None]", client.mget([ONCE + id_ for id_ in chunk]))
        stored = cast("list[bytes | None]", (results or client).mget([META + id_ for id_ in chunk]))
        for id_, record, result in zip(chunk, records, stored, strict=True):
            if (record or b"").startswith(b"done:") or succeeded(result):
                found.add(id_)
    return frozenset(found)


def stored(client: redis.Redis, task_ids: Collection[str]) -> frozenset[str]:
    """Those that have a result of whatever kind, or a record."""
    wanted, found = list(task_ids), set()
    for begin in range(0, len(wanted), _CHUNK):
        chunk = wanted[begin : begin + _CHUNK]
        for prefix in (META, ONCE):
            values = cast("list[bytes | None]", client.mget([prefix + id_ for id_ in chunk]))
            found |= {id_ for id_, value in zip(chunk, values, strict=True) if value is not None}
    return frozenset(found)


def orders(client: redis.Redis, id_field: str, results: redis.Redis | None = None) -> frozenset[str]:
    """The ids of all orders that were processed, by their results: `id_field` is what they have alone."""
    found: set[str] = set()
    sign = json.dumps(id_field).encode()
    store = results or client
    keys = list(store.scan_iter(match=f"{META}*", count=5_000))
    for begin in range(0, len(keys), _CHUNK):
        for raw in cast("Iterable[bytes | None]", store.mget(keys[begin : begin + _CHUNK])):
            result = json.loads(raw)["result"] if raw and sign in raw and succeeded(raw) else None
            if isinstance(result, dict) and id_field in result:
                found.add(str(result[id_field]))
    return frozenset(found)


def succeeded(result: bytes | None) -> bool:
    """Whether a stored result says SUCCESS."""
    return result is not None and b'"SUCCESS"' in result
