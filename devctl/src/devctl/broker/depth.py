"""How deep the queues are, in a few round trips however many there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import redis

from celeriac.broker import keys
from celeriac.broker.lists import lists
from celeriac.dead_letter import letters as dead_letters
from devctl.broker import claims, delayed
from devctl.broker.port import QueueDepth

BINDINGS = "_kombu.binding."
# Both kinds of keys in one pass over all there are: `_kombu.bi…` and `celery-dea…`. A broker that keeps results has
# millions, and looking at them is what `devctl queues` spends its time on.
_BINDINGS_AND_DEAD_LETTERS = "[_c][ke][ol][me][br][uy][-.][bd][ie][na]*"
# Bookkeeping of Celery itself: remote control and its replies, events.
INTERNAL = ("celery.pidbox", "reply.celery.pidbox", "celeryev")


def depths(
    client: redis.Redis, names: Iterable[str], *, dead_bound: int = dead_letters.BOUND, now: float | None = None
) -> list[QueueDepth]:
    """These queues, in this order, then all others that were ever declared here, or of which anything is left."""
    found = [key.decode(errors="replace") for key in client.scan_iter(match=_BINDINGS_AND_DEAD_LETTERS, count=5_000)]
    bound = dict(_bound(client, [key for key in found if key.startswith(BINDINGS)]))
    buried = _with_dead_letters(client, [key for key in found if key.startswith(keys.DEAD)])
    later = delayed.count(client)
    others = sorted({*bound.values(), *later, *buried})
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
    depths = []
    for queue in queues:
        dead, waiting, ages = next(answers), 0, []
        for _ in lists(queue):
            waiting += next(answers)
            ages.append(_age(next(answers), moment))
        oldest = max((age for age in ages if age is not None), default=None)
        depths.append(
            QueueDepth(queue, waiting, claimed[queue], oldest, later[queue], dead, stopped=dead >= dead_bound)
        )
    return depths


def _with_dead_letters(client: redis.Redis, streams: list[str]) -> list[str]:
    """The queues of those streams that are not empty."""
    pipe = client.pipeline(transaction=False)
    for stream in streams:
        pipe.xlen(stream)
    lengths = pipe.execute(raise_on_error=False)  # some other key may begin like that
    return [one.removeprefix(keys.DEAD) for one, n in zip(streams, lengths, strict=True) if isinstance(n, int) and n]


def _bound(client: redis.Redis, tables: list[str]) -> Iterator[tuple[tuple[str, str], str]]:
    """Exchange and routing key -> queue, of every declared queue but Celery's own."""
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
