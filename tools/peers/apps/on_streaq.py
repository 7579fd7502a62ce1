"""streaQ on Redis streams: at least once; an idle task is given back after a minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import coredis
from streaq import Worker

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, THREADS, URL
from tally import tally

coredis.Config.optimized = True  # as its own benchmarks have it, and uvloop
FAST: Any = {"anyio_kwargs": {"use_uvloop": True}}
KEPT: Any = {"silent": True, "ttl": RESULT_SECONDS if RESULTS else 0}

notifications = Worker(redis_url=URL, queue_name=NOTIFICATIONS, **FAST)


@notifications.task(name="send_notification")
async def send_notification(raw: dict[str, Any]) -> None:
    raise AssertionError("nobody consumes this queue here")


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    async with notifications:
        yield


worker = Worker(redis_url=URL, queue_name=QUEUE, concurrency=THREADS, lifespan=lifespan, **FAST)


@worker.task(name="noop", **KEPT)
async def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@worker.task(name="wait10", **KEPT)
async def wait10(number: int) -> None:
    await anyio.sleep(0.01)
    tally.done(number)


@worker.task(name="stamp", **KEPT)
async def stamp(intended: float) -> None:
    tally.started(intended)


@worker.task(name="order", **KEPT)
async def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    await send_notification.enqueue(notification)
    tally.done(number)
    return result


TASKS: dict[str, Any] = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    def __init__(self) -> None:
        self._open: AsyncExitStack | None = None

    async def _connected(self) -> None:
        if self._open is None:
            self._open = AsyncExitStack()
            await self._open.enter_async_context(worker)

    async def send(self, task: str, argument: Any, delay: float) -> None:
        await self._connected()
        if delay:
            await TASKS[task].enqueue(argument).start(delay=delay)
        else:
            await TASKS[task].enqueue(argument)

    async def many(self, task: str, arguments: list[Any]) -> None:
        await self._connected()
        await worker.enqueue_many([TASKS[task].enqueue(one) for one in arguments])

    async def close(self) -> None:
        if self._open is not None:
            await self._open.aclose()
