"""ArdiQ, its core in Rust, on Redis streams: at least once; a dead worker's task is reclaimed after a minute."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ardiq import Ardiq

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, THREADS, URL
from tally import tally

logging.getLogger("ardiq").setLevel(logging.WARNING)
app = Ardiq(redis_url=URL, queue_name=QUEUE, concurrency=THREADS, result_ttl_ms=RESULT_SECONDS * 1000 if RESULTS else 0)
notifications = Ardiq(redis_url=URL, queue_name=NOTIFICATIONS)


@app.task(name="noop")
async def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@app.task(name="wait10")
async def wait10(number: int) -> None:
    await asyncio.sleep(0.01)
    tally.done(number)


@app.task(name="stamp")
async def stamp(intended: float) -> None:
    tally.started(intended)


@app.task(name="order")
async def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    follows = notifications.ref("send_notification").options(task_id=notification["notification_id"])
    await follows.enqueue(notification)
    tally.done(number)
    return result


TASKS: dict[str, Any] = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    async def send(self, task: str, argument: Any, delay: float) -> None:
        if delay:
            await TASKS[task].options(delay_ms=round(delay * 1000)).enqueue(argument)
        else:
            await TASKS[task].enqueue(argument)

    async def many(self, task: str, arguments: list[Any]) -> None:
        await app.enqueue_many([TASKS[task].prepare(one) for one in arguments])

    async def close(self) -> None:
        """It has nothing to close."""
