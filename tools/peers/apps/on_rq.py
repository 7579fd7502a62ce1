"""RQ with SimpleWorker: at least once where a job has retries; a killed worker's job is found by its heartbeat."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import redis
from rq import Queue, Retry

import order
from apps.settings import NOTIFICATIONS, PORT, QUEUE, RESULT_SECONDS, RESULTS
from tally import tally

connection = redis.Redis(port=PORT)
queue = Queue(QUEUE, connection=connection)
notifications = Queue(NOTIFICATIONS, connection=connection)
OPTIONS: dict[str, Any] = {"result_ttl": RESULT_SECONDS if RESULTS else 0, "retry": Retry(max=3)}


def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


def wait10(number: int) -> None:
    time.sleep(0.01)
    tally.done(number)


def stamp(intended: float) -> None:
    tally.started(intended)


def send_notification(raw: dict[str, Any]) -> None:
    raise AssertionError("nobody consumes this queue here")


def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    notifications.enqueue(send_notification, notification, job_id=notification["notification_id"])
    tally.done(number)
    return result


TASKS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    async def send(self, task: str, argument: Any, delay: float) -> None:
        if delay:
            queue.enqueue_in(timedelta(seconds=delay), TASKS[task], argument, **OPTIONS)
        else:
            queue.enqueue(TASKS[task], argument, **OPTIONS)

    async def many(self, task: str, arguments: list[Any]) -> None:
        queue.enqueue_many([Queue.prepare_data(TASKS[task], (one,), **OPTIONS) for one in arguments])

    async def close(self) -> None:
        connection.close()
