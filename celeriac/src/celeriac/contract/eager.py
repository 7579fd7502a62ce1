"""`task_always_eager`, for tests: tasks run in place. Nothing is published, nothing is written to Redis."""

import threading
from typing import Any

from celeriac import correlation
from celeriac.contract import signature
from celeriac.contract.outcome import Child


class _Running(threading.local):
    children: list[Child]  # published by the outcomes of the bodies that run in this thread


RUNNING = _Running()


def apply(task: Any, *args: Any, **kwargs: Any) -> Any:
    """Celery's Task.apply. After the task has succeeded, the tasks that its outcome published run, in order."""
    app = task.app
    if not app.conf.task_always_eager:
        return app.Task.apply(task, *args, **kwargs)
    around, RUNNING.children = getattr(RUNNING, "children", []), []
    try:
        result = app.Task.apply(task, *args, **kwargs)
        children = RUNNING.children
    finally:
        RUNNING.children = around
    if result.successful():
        with correlation.bind(correlation.current() or result.id):
            for child in children:
                signature.of(child.contract, app, child.payload, {}).apply_async()
    return result
