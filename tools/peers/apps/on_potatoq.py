"""potatoq on Redis: at least once; a task has a lease with a fencing token, and what follows from it is one script."""

from __future__ import annotations

import time
from typing import Any

from potatoq import Potatoq, group

import order
from apps.settings import NOTIFICATIONS, QUEUE, RESULT_SECONDS, RESULTS, URL
from tally import tally

app = Potatoq("peers", broker=URL)
app.conf.update(
    task_default_queue=QUEUE,
    result_backend="broker" if RESULTS else None,  # one script with the acknowledgement then
    task_ignore_result=not RESULTS,
    result_expires=RESULT_SECONDS,
    worker_max_tasks_per_child=None,  # by default a process ends after 1,000 tasks: several times a second here
)


@app.task(name="noop")
def noop(number: int) -> int | None:
    tally.done(number)
    return number if RESULTS else None


@app.task(name="wait10")
def wait10(number: int) -> None:
    time.sleep(0.01)
    tally.done(number)


@app.task(name="stamp")
def stamp(intended: float) -> None:
    tally.started(intended)


@app.task(name="order")
def process_order(raw: dict[str, Any]) -> dict[str, Any]:
    result, notification, number = order.process(raw)
    app.send_task(
        "tasks.send_notification", (notification,), queue=NOTIFICATIONS, task_id=notification["notification_id"]
    )
    tally.done(number)
    return result


TASKS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


class Sender:
    async def send(self, task: str, argument: Any, delay: float) -> None:
        TASKS[task].apply_async((argument,), countdown=delay or None)

    async def many(self, task: str, arguments: list[Any]) -> None:
        group(TASKS[task].s(one) for one in arguments).apply_async()

    async def close(self) -> None:
        app.close()
