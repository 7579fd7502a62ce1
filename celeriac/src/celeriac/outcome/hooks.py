"""What follows the end of a body: hooks of the task's class, and receivers of Celery's signals."""

from typing import Any

from celery._state import get_current_task
from celery.app.task import Task

from celeriac.outcome.commit import OPEN, commit_now


def overrides(task: Any, name: str) -> bool:
    """Whether the task's class overrides this method of Celery's Task. (Celery's task_has_custom does not help: in a
    worker it says yes for the __call__ of every task, because Celery replaces that one itself.)"""
    return next(one for one in type(task).__mro__ if name in one.__dict__) is not Task


def commit_before(task_id: str, signal: Any, *hooks: str) -> None:
    """Commit the task of this thread now, if a hook or a receiver of the signal will run next: it must see the
    committed outcome. Raises NotCommitted if this run was refused or repeated: then no hook runs."""
    commit = OPEN.commit
    if commit is None or commit.task_id != task_id:
        return
    task = get_current_task()  # false if there is none: see runner._Nobody
    if signal.receivers or (task and any(overrides(task, hook) for hook in hooks)):
        commit_now()
