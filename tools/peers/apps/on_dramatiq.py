"""Dramatiq on its Redis broker: at least once; a message is acknowledged after its actor."""

from __future__ import annotations

import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, URL
from tally import tally

broker = RedisBroker(url=URL)
kept: dict[str, Any] = {}
if RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=URL)))
    kept = {"store_results": True, "result_ttl": RESULT_SECONDS * 1000}
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE, **kept)
def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@dramatiq.actor(queue_name=QUEUE)
def wait10(number: int) -> None:
    time.sleep(0.01)
    tally.done(number)


@dramatiq.actor(queue_name=QUEUE)
def stamp(intended: float) -> None:
    tally.started(intended)


@dramatiq.actor(queue_name=NOTIFICATIONS)
def send_notification(raw: dict[str, Any]) -> None:
    raise AssertionError("nobody consumes this queue here")


@dramatiq.actor(queue_name=QUEUE, **kept)
def process_order(raw: dict[str, Any]) -> dict[str, Any] | None:
    result, notification, number = order.process(raw)
    send_notification.send(notification)
    tally.done(number)
    return result if RESULTS else None


ACTORS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    many = None

    async def send(self, task: str, argument: Any, delay: float) -> None:
        ACTORS[task].send_with_options(args=(argument,), delay=round(delay * 1000) or None)

    async def close(self) -> None:
        broker.close()
