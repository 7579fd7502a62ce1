"""huey: at most once; its Redis queue is popped, and what a killed consumer held is lost."""

from __future__ import annotations

import time
from typing import Any

from huey import RedisHuey

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULTS, URL
from tally import tally

huey = RedisHuey(QUEUE, url=URL, results=RESULTS)
notifications = RedisHuey(NOTIFICATIONS, url=URL, results=False)


@huey.task(name="noop")
def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@huey.task(name="wait10")
def wait10(number: int) -> None:
    time.sleep(0.01)
    tally.done(number)


@huey.task(name="stamp")
def stamp(intended: float) -> None:
    tally.started(intended)


@notifications.task(name="send_notification")
def send_notification(raw: dict[str, Any]) -> None:
    raise AssertionError("nobody consumes this queue here")


@huey.task(name="order")
def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    send_notification(notification)
    tally.done(number)
    return result


TASKS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    many = None

    async def send(self, task: str, argument: Any, delay: float) -> None:
        if delay:
            TASKS[task].schedule((argument,), delay=delay)
        else:
            TASKS[task](argument)

    async def close(self) -> None:
        huey.storage.conn.close()
