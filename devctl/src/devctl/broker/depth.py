"""How deep the queues are, in a few round trips however many there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import redis

from celeriac.broker import keys
from devctl.broker import claims, delayed
from devctl.broker.layout import BINDINGS, Layout
from devctl.broker.port import QueueDepth

# Both kinds of keys in one pass over all there are: `_kombu.bi…` and `celery-dea…`. A broker that keeps results has
# millions, and looking at them is what `devctl queues` spends its time on.
_BINDINGS_AND_DEAD_LETTERS = "[_c][ke][ol][me][br][uy][-.][bd][ie][na]*"
# Bookkeeping of Celery itself: remote control and its replies, events.
INTERNAL = ("celery.pidbox", "reply.celery.pidbox", "celeryev")


@dataclass(frozen=True)
class Known:
    """What a search through all keys has found."""

    bound: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Exchange and routing key -> queue, of every declared queue but Celery's own."""
    buried: Sequence[str] = ()
    """Queues with dead letters."""


def search(client: redis.Redis, layout: Layout, *, letters: bool) -> Known:
    """Read the names of all keys, for the queues that they tell."""
    bindings = layout.key(BINDINGS)
    pattern = layout.pattern(_BINDINGS_AND_DEAD_LETTERS if letters else f"{BINDINGS}*")
    found = [key.decode(errors="replace") for key in client.scan_iter(match=pattern, count=5_000)]
    bound = dict(_bound(client, [key for key in found if key.startswith(bindings)], layout))
    return Known(bound, _with_dead_letters(client, [key for key in found if key.startswith(keys.DEAD)]))


def depths(
    client: redis.Redis,
    names: Iterable[str],
    layout: Layout,
    *,
    dead_bound: int | None = None,
    now: float | None = None,
    known: Known | None = None,
    alone: bool = False,
) -> list[QueueDepth]:
    """These queues, in this order, then (not `alone`) all others that were ever declared here, or of which anything is
    left.

    Without a `dead_bound` these are stock workers alone, which keep neither dead letters nor due times here.
    """
    found = known or search(client, layout, letters=dead_bound is not None)
    claimed, later = claims.count(client, found.bound, layout)
    if dead_bound is not None:
        later.update(delayed.count(client))
    others = [] if alone else sorted({*found.bound.values(), *later, *found.buried})
    queues = list(dict.fromkeys([*names, *others]))
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for key in layout.lists(queue):
            pipe.llen(key)
            pipe.lindex(key, -1)  # messages are pushed left and taken right
        if dead_bound is not None:
            pipe.xlen(keys.dead(queue))
    answers = iter(pipe.execute())
    moment = time.time() if now is None else now
    depths = []
    for queue in queues:
        waiting, ages = 0, []
        for _ in layout.lists(queue):
            waiting += next(answers)
            ages.append(_age(next(answers), moment))
        oldest = max((age for age in ages if age is not None), default=None)
        dead = 0 if dead_bound is None else next(answers)
        stopped = dead_bound is not None and dead >= dead_bound
        depths.append(QueueDepth(queue, waiting, claimed[queue], oldest, later[queue], dead, stopped=stopped))
    return depths


def _with_dead_letters(client: redis.Redis, streams: list[str]) -> list[str]:
    """The queues of those streams that are not empty."""
    pipe = client.pipeline(transaction=False)
    for stream in streams:
        pipe.xlen(stream)
    lengths = pipe.execute(raise_on_error=False)  # some other key may begin like that
    return [one.removeprefix(keys.DEAD) for one, n in zip(streams, lengths, strict=True) if isinstance(n, int) and n]


def _bound(client: redis.Redis, tables: list[str], layout: Layout) -> Iterator[tuple[tuple[str, str], str]]:
    """Exchange and routing key -> queue, of every declared queue but Celery's own."""
    bindings = layout.key(BINDINGS)
    tables = [table for table in tables if not table.removeprefix(bindings).endswith(INTERNAL)]
    pipe = client.pipeline(transaction=False)
    for table in tables:
        pipe.smembers(table)
    for table, members in zip(tables, pipe.execute(), strict=True):
        for member in members:
            routing_key, _, queue = member.decode(errors="replace").split(layout.separator)
            yield (table.removeprefix(bindings), routing_key), queue


def _age(frame: bytes | None, now: float) -> float | None:
    try:
        published_at = float(json.loads(frame or b"")["headers"]["published_at"])
    except (ValueError, KeyError, TypeError):  # no message, not a message of Celery, or a publisher that does not stamp
        return None
    return max(0.0, now - published_at)
