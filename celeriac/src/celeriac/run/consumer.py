"""Celery's consumer; it also waits for a Redis that refuses commands for a while."""

from importlib import import_module
from typing import Any

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from celeriac.retry.classification import refused_for_now

_celerys: Any = import_module("celery.worker.consumer.consumer").Consumer  # celery-types knows half of it


class Consumer(_celerys):  # type: ignore[misc]  # its base has no types
    """`worker_consumer`. Redis may answer -BUSY, -OOM or -READONLY while a consumer connects, declares queues or
    subscribes. Celery's consumer ends the worker then; this one connects again, as for a broker that is away."""

    class Blueprint(_celerys.Blueprint):  # type: ignore[misc]  # the same
        def start(self, parent: Any) -> None:
            try:
                super().start(parent)
            except ResponseError as exc:
                if not refused_for_now(exc):
                    raise
                raise Lost(str(exc)) from exc
