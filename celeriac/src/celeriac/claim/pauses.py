"""Queues from which no worker of ours claims for now. They still take messages, and what runs goes on. (Stock workers
do not know of it: Celery's own `app.control.cancel_consumer` is for them.)"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from celeriac.broker import keys
from celeriac.broker.client import client_of

if TYPE_CHECKING:
    from celery import Celery


def pause(where: "Celery | redis.Redis", queue: str) -> bool:
    """Let no worker claim from this queue, until `resume_queue`. `where`: the app, or a client of its broker. False: it
    was paused before."""
    with _client(where) as client:
        return bool(client.sadd(keys.PAUSED, queue))


def resume(where: "Celery | redis.Redis", queue: str) -> bool:
    """Let workers claim from this queue again; idle ones do so at once. False: it was not paused."""
    with _client(where) as client:  # each claim has read this key: Redis tells waiting workers that it has changed
        return bool(client.srem(keys.PAUSED, queue))


def paused(where: "Celery | redis.Redis") -> list[str]:
    """The queues that are paused."""
    with _client(where) as client:
        names = client.smembers(keys.PAUSED)
    return sorted(name.decode(errors="replace") if isinstance(name, bytes) else name for name in names)


@contextmanager
def _client(where: Any) -> Iterator[redis.Redis]:
    if isinstance(where, redis.Redis):
        yield where
        return
    with client_of(where) as client:
        yield client
