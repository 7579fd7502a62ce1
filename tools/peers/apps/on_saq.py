"""saq: at least once where retries are allowed; a job whose worker is gone is swept back after its time-out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from saq import Queue

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, THREADS, URL
from tally import tally

# Its documentation names orjson for dump and load.
queue = Queue.from_url(URL, name=QUEUE, dump=orjson.dumps, load=orjson.loads)
notifications = Queue.from_url(URL, name=NOTIFICATIONS, dump=orjson.dumps, load=orjson.loads)
OPTIONS = {"retries": 3, "ttl": RESULT_SECONDS if RESULTS else -1}


async def noop(_: Any, *, argument: int) -> int | None:
    tally.done(argument)
    return argument if RESULTS else None


async def wait10(_: Any, *, argument: int) -> None:
    await asyncio.sleep(0.01)
    tally.done(argument)


async def stamp(_: Any, *, argument: float) -> None:
    tally.started(argument)


async def process_order(_: Any, *, argument: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(argument)
    await notifications.enqueue("send_notification", key=notification["notification_id"], argument=notification)
    tally.done(number)
    return result


settings = {
    "queue": queue,
    "functions": [noop, wait10, stamp, ("order", process_order)],
    "concurrency": THREADS,
}


class Sender:
    async def send(self, task: str, argument: Any, delay: float) -> None:
        await queue.enqueue(task, argument=argument, scheduled=round(time.time() + delay) if delay else 0, **OPTIONS)

    async def many(self, task: str, arguments: list[Any]) -> None:
        """Not one call, but the way of asyncio."""
        for begin in range(0, len(arguments), 50):
            await asyncio.gather(*(self.send(task, one, 0.0) for one in arguments[begin : begin + 50]))

    async def close(self) -> None:
        await queue.disconnect()
