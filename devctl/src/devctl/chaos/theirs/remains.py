"""Where the messages are that nobody has finished: in a queue, claimed, due later, dead, or nowhere. By task id."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import redis
from kombu import Connection

from celeriac.broker.keys import DEAD, DUE
from devctl.broker.server import connect
from devctl.errors import DevctlError

_UNACKED = "unacked"


@dataclass(frozen=True)
class Remains:
    """What is left of these tasks in the broker."""

    queued: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()
    """Taken by a worker and not acknowledged; due ones included."""
    dead: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        """Those that are not gone."""
        return self.queued | self.claimed | self.dead


class Look(Protocol):
    """Looks into a broker."""

    def __call__(self, task_ids: Collection[str]) -> Remains:
        """Where these tasks are now; those that are nowhere are in no set. DevctlError where it does not answer."""


class RedisLook:
    """Reads all keys that hold messages: a copy of a stack has few of them."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    def __call__(self, task_ids: Collection[str]) -> Remains:
        try:
            return self._look(task_ids)
        except (redis.RedisError, OSError) as away:
            raise DevctlError(f"the broker does not answer: {away}") from away

    def _look(self, task_ids: Collection[str]) -> Remains:
        queued, claimed, dead = set[str](), set[str](), set[str]()
        for key, kind in self._keys():
            if kind == "list":
                queued |= {*_ids(cast("list[bytes]", self._client.lrange(key, 0, -1)))}
            elif kind == "hash" and key.endswith(_UNACKED):
                entries = cast("list[bytes]", self._client.hvals(key))
                claimed |= {*_ids(json.dumps(json.loads(one)[0]).encode() for one in entries)}
            elif kind == "zset" and key == DUE:
                members = cast("list[bytes]", self._client.zrange(key, 0, -1))
                claimed |= {*_ids(member.partition(b"\n")[2] for member in members)}
            elif kind == "stream" and key.startswith(DEAD):
                letters = cast("list[Any]", self._client.xrange(key))
                text = b"\n".join(value for _, fields in letters for value in fields.values())
                dead |= {one for one in task_ids if one.encode() in text}
        wanted = {*task_ids}
        return Remains(frozenset(queued & wanted), frozenset(claimed & wanted), frozenset(dead))

    def _keys(self) -> Iterator[tuple[str, str]]:
        names = [key.decode(errors="replace") for key in self._client.scan_iter(count=1_000)]
        for name in names:
            if not name.startswith(("celery-task-meta-", "_kombu.")):
                yield name, str(cast("bytes", self._client.type(name)).decode())


class AmqpLook:
    """Takes what waits out of the queues and gives it back; what a living worker holds, RabbitMQ tells nobody."""

    def __init__(self, url: str, queue: str) -> None:
        self._url, self._queue = url, queue

    def __call__(self, task_ids: Collection[str]) -> Remains:
        queued = set[str]()
        with Connection(self._url, connect_timeout=5) as connection:
            try:
                channel: Any = connection.channel()  # what is not acknowledged goes back when it closes
                while (message := channel.basic_get(self._queue)) is not None:
                    queued.add(str(message.headers.get("id")))
            except (*cast("tuple[Any, ...]", connection.connection_errors), OSError) as away:
                raise DevctlError(f"the broker does not answer: {away}") from away
        return Remains(frozenset(queued & {*task_ids}))


def _ids(frames: Any) -> Iterator[str]:
    for frame in frames:
        try:
            yield str(json.loads(frame)["headers"]["id"])
        except (ValueError, KeyError, TypeError):  # no message of Celery
            continue
