"""Finds the message of a task among those that wait, are claimed, or are due later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

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
                    return Place("waiting", queue, before, **_said(raw))
                before += 1
    claims = client.hscan_iter(layout.key(keys.UNACKED), count=_PAGE)
    for tag, raw in islice(cast("Iterator[tuple[bytes, bytes]]", claims), MOST_LOOKED_AT):
        if its(raw):
            return Place("claimed", str(json.loads(raw)[2]), tag=tag.decode(errors="replace"), **_said(raw))
    if due:
        pattern = "*" + re.sub(r"([*?\[\]\\])", r"\\\1", f'"id": {quoted}') + "*"
        later = client.zscan_iter(keys.DUE, match=pattern, count=_PAGE)
        for member, at in cast("Iterator[tuple[bytes, float]]", later):
            name, _, raw = member.partition(b"\n")
            key = name.decode(errors="replace").removeprefix(layout.prefix)
            return Place("due", key.partition(layout.separator)[0], due=at / 1e6, **_said(raw))
    return None


def oldest(client: redis.Redis, layout: Layout, queues: Sequence[str], most: int) -> dict[str, list[str]]:
    """Queue -> the tasks of the messages that are taken next, so many at most; "" for what is no message."""
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for key in layout.lists(queue):
            pipe.lrange(key, -most, -1)
    pages = iter(cast("list[list[bytes]]", pipe.execute()))
    frames = {queue: [raw for _ in layout.lists(queue) for raw in reversed(next(pages))] for queue in queues}
    return {queue: [_task(raw) for raw in found[:most]] for queue, found in frames.items() if found}


def _task(raw: bytes) -> str:
    try:
        return str(_said(raw)["task"])
    except (ValueError, TypeError, AttributeError, LookupError):
        return ""


def _said(raw: bytes) -> dict[str, Any]:
    """What its headers say of it."""
    message = json.loads(raw)
    headers = (message[0] if isinstance(message, list) else message).get("headers", {})
    task, published = headers.get("task"), headers.get("published_at")
    return {
        "task": task if isinstance(task, str) else "",
        "published": float(published) if isinstance(published, int | float) else None,
    }


def _oldest_first(client: redis.Redis, key: str) -> Iterator[bytes]:
    """Messages are pushed left and taken right."""
    for start in range(0, MOST_LOOKED_AT, _PAGE):
        page = cast("list[bytes]", client.lrange(key, -start - _PAGE, -start - 1))
        yield from reversed(page)
        if len(page) < _PAGE:
            return
