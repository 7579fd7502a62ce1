"""Results of `rpc://`: each goes into a queue of whoever published the task, once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from kombu import Connection, Exchange, Queue

from devctl.broker.port import TaskResult
from devctl.broker.results import read

KEPT_SECONDS = 24 * 3600


class Replies:
    """The results of what this process published."""

    why_none = ""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._came: dict[str, TaskResult] = {}

    @cached_property
    def _queue(self) -> Any:
        queue = Queue(str(uuid.uuid4()), Exchange(""), durable=False, auto_delete=True, expires=KEPT_SECONDS)
        bound = queue(self._connect().default_channel)
        bound.queue_declare()
        return bound

    @property
    def address(self) -> str:
        """For `reply_to` of a message; exists from now on."""
        return str(self._queue.name)

    def read(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What came until now."""
        while (message := self._queue.get(no_ack=True, accept=["json"])) is not None:
            task_id = str(message.properties.get("correlation_id", ""))
            self._came[task_id] = read(
                task_id, message.body if isinstance(message.body, bytes) else message.body.encode()
            )
        return [self._came.get(one, TaskResult(one, "pending")) for one in task_ids]

    def ids(self, start: str) -> list[str]:
        """Of results that came."""
        return sorted(one for one in self._came if one.startswith(start))

    def drop(self, task_ids: Sequence[str]) -> None:
        """They are nowhere else."""
        for one in task_ids:
            self._came.pop(one, None)
