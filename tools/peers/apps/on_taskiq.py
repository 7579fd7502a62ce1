"""taskiq on Redis streams, its broker that acknowledges: at least once (given back after 10 minutes)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from taskiq import TaskiqScheduler
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, URL
from tally import tally

# From the beginning of the stream: the backlog is there before the workers are.
broker: Any = RedisStreamBroker(URL, queue_name=QUEUE, consumer_id="0").with_serializer(ORJSONSerializer())
if RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=RESULT_SECONDS))
source = ListRedisScheduleSource(URL)
scheduler = TaskiqScheduler(broker, [source])


# Coroutines: a plain function would go through a pool of threads, which is slower.
@broker.task(task_name="noop")
async def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@broker.task(task_name="wait10")
async def wait10(number: int) -> None:
    await asyncio.sleep(0.01)
    tally.done(number)


@broker.task(task_name="stamp")
async def stamp(intended: float) -> None:
    tally.started(intended)


@broker.task(task_name="send_notification", queue_name=NOTIFICATIONS)
async def send_notification(raw: dict[str, Any]) -> None:
    raise AssertionError("nobody consumes this queue here")


@broker.task(task_name="order")
async def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    await send_notification.kiq(notification)
    tally.done(number)
    return result


TASKS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    async def send(self, task: str, argument: Any, delay: float) -> None:
        if delay:
            await TASKS[task].schedule_by_time(source, datetime.now(UTC) + timedelta(seconds=delay), argument)
        else:
            await TASKS[task].kiq(argument)

    async def many(self, task: str, arguments: list[Any]) -> None:
        """Not one call, but the way of asyncio: up to a pool's worth of connections at once."""
        for begin in range(0, len(arguments), 50):
            await asyncio.gather(*(self.send(task, one, 0.0) for one in arguments[begin : begin + 50]))

    async def close(self) -> None:
        await broker.shutdown()
