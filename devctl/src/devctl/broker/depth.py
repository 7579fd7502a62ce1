"""How deep the queues are, in a few round trips however many there are."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, cast

import redis

from devctl.broker.frames import lists
from devctl.broker.port import QueueDepth

BINDINGS = "_kombu.binding."
# Bookkeeping of Celery itself: remote control and its replies, events.
INTERNAL = ("celery.pidbox", "reply.celery.pidbox", "celeryev")

# Only the queue's name leaves the server: entries are [message, exchange, routing key], and messages can be large.
# In steps, because a script blocks everyone else.
_CLAIMED = """
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 1000)
local found = {}
for i = 2, #page[2], 2 do
  local exchange, key = string.match(string.sub(page[2][i], -600), '"([^"]*)"%s*,%s*"([^"]*)"%s*%]%s*$')
  local name = cjson.encode({exchange or '', key or '?'})
  found[name] = (found[name] or 0) + 1
end
local flat = {page[1]}
for name, count in pairs(found) do
  flat[#flat + 1] = name
  flat[#flat + 1] = count
end
return flat
"""


def depths(client: redis.Redis, names: Iterable[str], *, now: float | None = None) -> list[QueueDepth]:
    """These queues, in this order, then all others that were ever declared here."""
    bound = dict(_bound(client))
    queues = list(dict.fromkeys([*names, *sorted(set(bound.values()))]))
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for key in lists(queue):
            pipe.llen(key)
            pipe.lindex(key, -1)  # messages are pushed left and taken right
    answers = iter(pipe.execute())
    claimed = _claimed(client, bound)
    moment = time.time() if now is None else now
    found = []
    for queue in queues:
        waiting, ages = 0, []
        for _ in lists(queue):
            waiting += next(answers)
            ages.append(_age(next(answers), moment))
        found.append(
            QueueDepth(queue, waiting, claimed[queue], max((age for age in ages if age is not None), default=None))
        )
    return found


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


def _claimed(client: redis.Redis, bound: dict[tuple[str, str], str]) -> Counter[str]:
    """Queue -> messages taken and not yet acknowledged."""
    script = client.register_script(_CLAIMED)
    found: Counter[str] = Counter()
    cursor = b"0"
    while True:
        cursor, *flat = cast("list[Any]", script(keys=["unacked"], args=[cursor]))
        for name, count in zip(flat[::2], flat[1::2], strict=True):
            exchange, routing_key = json.loads(name)
            # Stock Celery publishes to the anonymous exchange, where the routing key is the queue.
            found[bound.get((exchange, routing_key), routing_key)] += count
        if cursor == b"0":
            return found


def _age(frame: bytes | None, now: float) -> float | None:
    try:
        published_at = float(json.loads(frame or b"")["headers"]["published_at"])
    except (ValueError, KeyError, TypeError):  # no message, not a message of Celery, or a publisher that does not stamp
        return None
    return max(0.0, now - published_at)
