"""Celery's consumer; it gives every task our strategy, and waits for a Redis that refuses commands for a while."""

from functools import cache
from importlib import import_module
from typing import Any

from kombu.utils.imports import symbol_by_name
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from celeriac.claim.transport import ChannelMixin
from celeriac.retry.classification import refused_for_now
from celeriac.run.strategy import Request, strategy

_celerys: Any = import_module("celery.worker.consumer.consumer").Consumer  # celery-types knows half of it
CELERYS_REQUEST: Any = import_module("celery.worker.request").Request
CELERYS_STRATEGY = "celery.worker.strategy:default"


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

    def update_strategies(self) -> None:
        """Celery calls this when it has connected: then all tasks are known, also those with a class of their own."""
        if isinstance(self.connection.default_channel, ChannelMixin):
            for task in self.app.tasks.values():
                adopt(task)
        super().update_strategies()


def adopt(task: Any) -> None:
    """Give this task our strategy and our request. A strategy of its own stays; a request of its own lies under
    ours."""
    if task.Strategy == CELERYS_STRATEGY:
        task.Strategy = strategy
    task.Request = _over(symbol_by_name(task.Request))


@cache
def _over(kind: type[Any]) -> type[Any]:
    if issubclass(kind, Request):
        return kind
    return Request if kind is CELERYS_REQUEST else type(kind.__name__, (Request, kind), {"__module__": kind.__module__})
