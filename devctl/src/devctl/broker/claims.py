"""Claimed messages: taken by a worker, not yet acknowledged. kombu keeps them all in one hash, whatever their queue."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, cast

import redis

from celeriac.broker.keys import LEASES, STARTS, UNACKED
from devctl.broker.layout import Layout

DEADLINES = "unacked_index"  # of stock workers; ours have leases

# Entries are [message, exchange, routing key], and messages can be large, so the script looks at their ends only. It
# works in steps, because a script blocks everyone else. The messages of the queues in ARGV[3…] are removed. One that is
# not due at ARGV[2] waits in the memory of a stock worker; only Celery's own header is written like that, unescaped.
_PAGE = """
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 1000)
local unwanted = {}
for i = 3, #ARGV do unwanted[ARGV[i]] = true end
local found = {}
for i = 1, #page[2], 2 do
  local ending = string.sub(page[2][i + 1], -600)
  local exchange, key = string.match(ending, '"([^"]*)"%s*,%s*"([^"]*)"%s*%]%s*$')
  if unwanted[key] then
    redis.call('HDEL', KEYS[1], page[2][i])
    redis.call('ZREM', KEYS[2], page[2][i])
    redis.call('ZREM', KEYS[3], page[2][i])
    redis.call('HDEL', KEYS[4], page[2][i])
  else
    local eta = string.find(page[2][i + 1], '"eta": "', 1, true)
    local later = eta and string.sub(page[2][i + 1], eta + 8, eta + 26) > ARGV[2] or false
    local name = cjson.encode({exchange or '', key or '?', later})
    found[name] = (found[name] or 0) + 1
  end
end
local flat = {page[1]}
for name, count in pairs(found) do
  flat[#flat + 1] = name
  flat[#flat + 1] = count
end
return flat
"""


def count(
    client: redis.Redis, bound: Mapping[tuple[str, str], str], layout: Layout
) -> tuple[Counter[str], Counter[str]]:
    """Queue -> claimed messages, and those of them that are not due yet; `bound` tells the queue of an exchange and
    routing key."""
    found: Counter[str] = Counter()
    later: Counter[str] = Counter()
    for (exchange, routing_key, not_due), claims in _pages(client, layout):
        # Stock Celery publishes to the anonymous exchange, where the routing key is the queue.
        (later if not_due else found)[bound.get((exchange, routing_key), routing_key)] += claims
    return found, later


def drop(client: redis.Redis, queues: Collection[str], layout: Layout) -> None:
    """Remove what is claimed of these queues, else it comes back into them when its worker is gone."""
    if queues:
        _pages(client, layout, *queues)


def _pages(client: redis.Redis, layout: Layout, *unwanted: str) -> list[tuple[tuple[str, str, bool], int]]:
    script = client.register_script(_PAGE)
    names = [layout.key(name) for name in (UNACKED, DEADLINES, LEASES, STARTS)]
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    found: list[tuple[tuple[str, str, bool], int]] = []
    cursor = b"0"
    while True:
        cursor, *flat = cast("list[Any]", script(keys=names, args=[cursor, now, *unwanted]))
        for name, claims in zip(flat[::2], flat[1::2], strict=True):
            exchange, routing_key, later = json.loads(name)
            found.append(((exchange, routing_key, later), claims))
        if cursor == b"0":
            return found
