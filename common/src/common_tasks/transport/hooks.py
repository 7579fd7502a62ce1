"""What follows the end of a body: hooks of its task's class, and listeners of Celery's signals."""

from typing import Any

from celery._state import get_current_task
from celery.app.task import Task

from common_tasks.transport.commit import OPEN, commit_now


def overrides(task: Any, name: str) -> bool:
    """Whether a class of the task has its own. (Celery's task_has_custom says so of every task's __call__ in a worker:
    there, its own stack protection stands in Task's place.)"""
    return next(one for one in type(task).__mro__ if name in one.__dict__) is not Task


def commit_before(task_id: str, signal: Any, *hooks: str) -> None:
    """Where hooks or listeners follow the end of the task of this thread, it is committed first: they see the world as
    it is after. Raises NotCommitted where this run is not the one that counts: nothing follows it."""
    commit = OPEN.commit
    if commit is None or commit.task_id != task_id:
        return
    task = get_current_task()  # or what lies below all tasks of a thread, which is false
    if signal.receivers or (task and any(overrides(task, hook) for hook in hooks)):
        commit_now()
