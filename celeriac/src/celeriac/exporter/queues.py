"""What Redis knows of the queues, looked at from outside: nothing is written."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import gmtime, monotonic, strftime
from typing import Any

import redis

from celeriac.broker import keys
from celeriac.broker.lists import NAMES, lists, queue_of
from celeriac.broker.scripts import Script

COUNT = Script("exporter/count")
BINDINGS = "_kombu.binding."
# Both kinds of keys in one pass over all keys: `_kombu.bi…` and `celery-de…`.
PATTERN = "[_c][ke][ol][me][br][uy][-.][bd][ie]*"
INTERNAL = ("celery.pidbox", "reply.celery.pidbox", "celeryev")  # Celery's own: remote control, events
SEARCH_SECONDS = 15.0  # between two searches through all keys
REST = 20  # a search, or a count, that took long is repeated after so many times as long


@dataclass(frozen=True)
class Queue:
    """One queue, at one moment."""

    name: str
    waiting: int
    claimed: int
    due: int
    dead: int
    oldest_seconds: float | None
    """Since the publish of the oldest message that waits; 0 where none waits, None where no publisher said when."""
    paused: bool


@dataclass(frozen=True)
class Look:
    """All queues and the server, at one moment."""

    queues: tuple[Queue, ...]
    memory_bytes: int
    memory_max_bytes: int
    """0: no limit."""
    life_entries: int
    life_bytes: int


@dataclass
class Known:
    """What takes long to find out, and when it was."""

    bound: dict[tuple[str, str], str] = field(default_factory=dict)
    """Exchange and routing key -> queue."""
    buried: tuple[str, ...] = ()
    claimed: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    search_at: float = 0.0
    count_at: float = 0.0


class Queues:
    """Looks at one broker. One thread at a time calls it."""

    def __init__(self, client: redis.Redis, named: Iterable[str] = ()) -> None:
        """`named`: queues that are shown in any case."""
        self._client, self._named = client, tuple(named)
        self._known = Known()

    def look(self, more: Iterable[str] = ()) -> Look:
        """One pipeline; now and then a search for new queues. Raises the errors of redis-py."""
        known = self._known
        if monotonic() >= known.search_at:
            known.search_at = self._next(self._search, SEARCH_SECONDS)
        if monotonic() >= known.count_at:
            known.count_at = self._next(self._count, 0.0)
        names = sorted({*self._named, *more, *known.bound.values(), *known.buried, *known.claimed, *known.due})
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.info("memory")
        pipe.smembers(keys.PAUSED)
        pipe.xlen(keys.LIFE)
        pipe.memory_usage(keys.LIFE, samples=5)
        for name in names:
            for key in lists(name):
                pipe.llen(key)
                pipe.lindex(key, -1)  # messages are pushed left and taken right
            pipe.xlen(keys.dead(name))
        answers = iter(pipe.execute(raise_on_error=False))
        seconds, micros = _sure(next(answers))
        memory = _sure(next(answers))
        paused, entries, size = next(answers), next(answers), next(answers)
        off = {_text(one) for one in paused} if isinstance(paused, set) else set()
        queues = tuple(self._queue(name, answers, seconds + micros / 1e6, off) for name in names)
        return Look(queues, memory["used_memory"], memory.get("maxmemory") or 0, _number(entries), _number(size))

    def _queue(self, name: str, answers: Iterator[Any], now: float, paused: set[str]) -> Queue:
        waiting, ages = 0, []
        for _ in lists(name):
            waiting += _number(next(answers))
            ages.append(_age(next(answers), now))
        dead = _number(next(answers))
        oldest = max((age for age in ages if age is not None), default=None) if waiting else 0.0
        known = self._known
        return Queue(name, waiting, known.claimed[name], known.due[name], dead, oldest, name in paused)

    def _next(self, work: Any, seconds: float) -> float:
        """Do it; returns when to do it again: what takes long must not keep Redis busy."""
        began = monotonic()
        work()
        took = monotonic() - began
        return monotonic() + max(seconds, REST * took if took > 0.02 else 0.0)

    def _search(self) -> None:
        found = [_text(key) for key in self._client.scan_iter(match=PATTERN, count=2_000)]
        tables = [one for one in found if one.startswith(BINDINGS) and not one.endswith(INTERNAL)]
        pipe = self._client.pipeline(transaction=False)
        for table in tables:
            pipe.smembers(table)
        bound = {}
        for table, members in zip(tables, pipe.execute(raise_on_error=False), strict=True):
            for member in members if isinstance(members, set) else ():
                words = _text(member).split(NAMES.separator)  # routing key, pattern, queue
                if len(words) == 3:
                    bound[table.removeprefix(BINDINGS), words[0]] = words[2]
        self._known.bound = bound
        self._known.buried = tuple(one.removeprefix(keys.DEAD) for one in found if one.startswith(keys.DEAD))

    def _count(self) -> None:
        claimed: Counter[str] = Counter()
        due: Counter[str] = Counter()
        for exchange, key, later, times in (*self._pages(keys.UNACKED), *self._pages(keys.DUE)):
            # Stock Celery publishes to the anonymous exchange, where the routing key is the queue.
            queue = self._known.bound.get((exchange, key)) or queue_of(key)
            (due if later else claimed)[queue] += times
        self._known.claimed, self._known.due = claimed, due

    def _pages(self, key: str) -> Iterator[tuple[str, str, int, int]]:
        now, cursor = strftime("%Y-%m-%dT%H:%M:%S", gmtime()), b"0"
        while True:
            cursor, *flat = COUNT(self._client, [key], [cursor, now])
            for at in range(0, len(flat), 4):
                yield _text(flat[at]), _text(flat[at + 1]), flat[at + 2], flat[at + 3]
            if cursor == b"0":
                return


def _sure(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _number(answer: Any) -> int:
    """0 for a key of another kind, which is none of ours, and for one that is not there."""
    return answer if isinstance(answer, int) else 0


def _age(raw: Any, now: float) -> float | None:
    try:
        published_at = float(json.loads(raw)["headers"]["published_at"])
    except (ValueError, KeyError, TypeError):  # no message of Celery, or a publisher that does not stamp
        return None
    return max(0.0, now - published_at)
