"""arq: at least once; a job stays in the queue until it has run."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings

import order
from apps.settings import NOTIFICATIONS, PORT, QUEUE, RESULT_SECONDS, RESULTS, THREADS
from tally import tally

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # as arq's documentation has it


async def noop(_: Any, number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


async def wait10(_: Any, number: int) -> None:
    await asyncio.sleep(0.01)
    tally.done(number)


async def stamp(_: Any, intended: float) -> None:
    tally.started(intended)


async def process_order(context: Any, raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    await context["redis"].enqueue_job(
        "send_notification", notification, _queue_name=NOTIFICATIONS, _job_id=notification["notification_id"]
    )
    tally.done(number)
    return result


class WorkerSettings:
    redis_settings = RedisSettings(port=PORT)
    queue_name = QUEUE
    functions = (noop, wait10, stamp, func(process_order, name="order"))
    keep_result = RESULT_SECONDS if RESULTS else 0
    max_jobs = THREADS
    # The default looks once in half a second and takes at most five times max_jobs then, which would be the limit.
    poll_delay = 0.01
    log_results = False


class Sender:
    pool: Any = None

    async def send(self, task: str, argument: Any, delay: float) -> None:
        self.pool = self.pool or await create_pool(WorkerSettings.redis_settings)
        await self.pool.enqueue_job(task, argument, _queue_name=QUEUE, _defer_by=delay or None)

    async def many(self, task: str, arguments: list[Any]) -> None:
        """Not one call, but the way of asyncio."""
        for begin in range(0, len(arguments), 50):
            await asyncio.gather(*(self.send(task, one, 0.0) for one in arguments[begin : begin + 50]))

    async def close(self) -> None:
        if self.pool:
            await self.pool.aclose()
