"""How deep the queues are, in a few round trips however many there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import redis

from common_tasks import dead_letters
from common_tasks.transport import keys
from common_tasks.transport.lists import lists
from devctl.broker import claims, delayed
from devctl.broker.port import QueueDepth

BINDINGS = "_kombu.binding."
# Bookkeeping of Celery itself: remote control and its replies, events.
INTERNAL = ("celery.pidbox", "reply.celery.pidbox", "celeryev")


def depths(
    client: redis.Redis, names: Iterable[str], *, dead_bound: int = dead_letters.BOUND, now: float | None = None
) -> list[QueueDepth]:
    """These queues, in this order, then all others that were ever declared here, or of which anything is left."""
    bound = dict(_bound(client))
    later = delayed.count(client)
    others = sorted({*bound.values(), *later, *_with_dead_letters(client)})
    queues = list(dict.fromkeys([*names, *others]))
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        pipe.xlen(keys.dead(queue))
        for key in lists(queue):
            pipe.llen(key)
            pipe.lindex(key, -1)  # messages are pushed left and taken right
    answers = iter(pipe.execute())
    claimed = claims.count(client, bound)
    moment = time.time() if now is None else now
    found = []
    for queue in queues:
        dead, waiting, ages = next(answers), 0, []
        for _ in lists(queue):
            waiting += next(answers)
            ages.append(_age(next(answers), moment))
        oldest = max((age for age in ages if age is not None), default=None)
        found.append(QueueDepth(queue, waiting, claimed[queue], oldest, later[queue], dead, stopped=dead >= dead_bound))
    return found


def _with_dead_letters(client: redis.Redis) -> list[str]:
    queues = dead_letters.queues(client)
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        pipe.xlen(keys.dead(queue))
    return [queue for queue, dead in zip(queues, pipe.execute(), strict=True) if dead]


def _bound(client: redis.Redis) -> Iterator[tuple[tuple[str, str], str]]:
    """Exchange and routing key -> queue, of every declared queue but Celery's own."""
    tables = [key.decode(errors="replace") for key in client.scan_iter(match=f"{BINDINGS}*", count=5_000)]
    tables = [table for table in tables if not table.removeprefix(BINDINGS).endswith(INTERNAL)]
    pipe = client.pipeline(transaction=False)
    for table in tables:
        pipe.smembers(table)
    for table, members in zip(tables, pipe.execute(), strict=True):
        for member in members:
            routing_key, _, queue = member.decode(errors="replace").split("\x06\x16")
            yield (table.removeprefix(BINDINGS), routing_key), queue


def _age(frame: bytes | None, now: float) -> float | None:
    try:
        published_at = float(json.loads(frame or b"")["headers"]["published_at"])
    except (ValueError, KeyError, TypeError):  # no message, not a message of Celery, or a publisher that does not stamp
        return None
    return max(0.0, now - published_at)
