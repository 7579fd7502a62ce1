"""Finds the message of a task among those that wait, are claimed, or are due later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

import redis

from celeriac.broker import keys
from devctl.broker.layout import Layout
from devctl.broker.port import Place

MOST_LOOKED_AT = 20_000  # messages, of each kind
_PAGE = 1_000


def place(client: redis.Redis, layout: Layout, task_id: str, queues: Iterable[str], *, due: bool) -> Place | None:
    """The first of them; of each queue, those that are taken next are looked at. `due`: celeriac is here."""
    quoted = json.dumps(task_id)
    signs = (f'"id": {quoted}'.encode(), f'"id":{quoted}'.encode())

    def its(raw: bytes) -> bool:
        return signs[0] in raw or signs[1] in raw

    for queue in queues:
        before = 0
        for key in layout.lists(queue):
            for raw in _oldest_first(client, key):
                if its(raw):
                    return Place("waiting", queue, before)
                before += 1
    claims = client.hscan_iter(layout.key(keys.UNACKED), count=_PAGE)
    for tag, raw in islice(cast("Iterator[tuple[bytes, bytes]]", claims), MOST_LOOKED_AT):
        if its(raw):
            return Place("claimed", str(json.loads(raw)[2]), tag=tag.decode(errors="replace"))
    if due:
        pattern = "*" + re.sub(r"([*?\[\]\\])", r"\\\1", f'"id": {quoted}') + "*"
        later = client.zscan_iter(keys.DUE, match=pattern, count=_PAGE)
        for member, at in cast("Iterator[tuple[bytes, float]]", later):
            key = member.partition(b"\n")[0].decode(errors="replace").removeprefix(layout.prefix)
            return Place("due", key.partition(layout.separator)[0], due=at / 1e6)
    return None


def _oldest_first(client: redis.Redis, key: str) -> Iterator[bytes]:
    """Messages are pushed left and taken right."""
    for start in range(0, MOST_LOOKED_AT, _PAGE):
        page = cast("list[bytes]", client.lrange(key, -start - _PAGE, -start - 1))
        yield from reversed(page)
        if len(page) < _PAGE:
            return
