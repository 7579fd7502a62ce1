"""`task_always_eager`, for tests: tasks run in place. Nothing is published, nothing is written to Redis."""

import threading
from typing import TYPE_CHECKING, Any

from celery.exceptions import NotRegistered

from celeriac import correlation

if TYPE_CHECKING:
    from celery import Celery

    from celeriac.contract.outcome import Child


class NoBody(NotRegistered):
    """The app is eager and has no body for this task."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show it in quotes


class _Running(threading.local):
    children: "list[Child]"  # published by the outcomes of the bodies that run in this thread


RUNNING = _Running()


def check(app: "Celery", name: str) -> None:
    """Raises NoBody if the app is eager and has no body for the task: it could only publish it."""
    if app.conf.task_always_eager and name not in app.tasks:
        raise NoBody(
            f"{name} has no body in the app {app.main!r}: task_always_eager runs tasks in place. Register one: "
            "handler.register(app), where handler is what @implements made; or bind the contract to the app that has it"
        )


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
                child.contract.bind(app).apply_async(child.payload)
    return result
