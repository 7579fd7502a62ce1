"""Messages that wait in Redis until they are due: retries, countdowns, ETAs of every queue, in one sorted set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, cast

import redis

from celeriac.broker.keys import DUE
from celeriac.broker.lists import SEPARATOR, lists

# Members are "<list>\n<message>", and messages can be large, so only the names of the lists leave the server; in steps,
# because a script blocks everyone else. Members of the lists in ARGV[2…] are removed.
_PAGE = """
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local unwanted, found = {}, {}
for i = 2, #ARGV do unwanted[ARGV[i]] = true end
for i = 1, #page[2], 2 do
  local list = string.match(page[2][i], '^([^\\n]*)\\n') or ''
  if unwanted[list] then redis.call('ZREM', KEYS[1], page[2][i])
  else found[list] = (found[list] or 0) + 1 end
end
local flat = {page[1]}
for list, count in pairs(found) do
  flat[#flat + 1] = list
  flat[#flat + 1] = count
end
return flat
"""


def count(client: redis.Redis) -> Counter[str]:
    """Queue -> messages that are not due yet."""
    return _pages(client)


def drop(client: redis.Redis, queues: Collection[str]) -> None:
    """Remove what would come back into these queues one day."""
    if queues:
        _pages(client, *(one for queue in queues for one in lists(queue)))


def _pages(client: redis.Redis, *unwanted: str) -> Counter[str]:
    script = client.register_script(_PAGE)
    found: Counter[str] = Counter()
    cursor = b"0"
    while True:
        cursor, *flat = cast("list[Any]", script(keys=[DUE], args=[cursor, *unwanted]))
        for name, messages in zip(flat[::2], flat[1::2], strict=True):
            if name:  # else it is no member of ours
                found[name.decode(errors="replace").partition(SEPARATOR)[0]] += messages
        if cursor == b"0":
            return found
