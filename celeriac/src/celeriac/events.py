"""Events of the life of a task, through the standard logging: silent until a service configures its logs."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger("celeriac")
logger.addHandler(logging.NullHandler())

# Names of tasks that log events of their own; Celery's lines about them are left out.
own_events: set[str] = set()


def logged_at(level: int = logging.INFO) -> bool:
    """Whether this level is logged: for events whose fields take time to make."""
    return logger.isEnabledFor(level)


def emit(event: str, *, level: int = logging.INFO, exc_info: BaseException | None = None, **fields: Any) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=exc_info, extra={"fields": fields})


Listener = Callable[[str, Mapping[str, Any]], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> Listener:
    """Call `listener(event, fields)` for every transition of a message, once Redis has it: `task.succeeded`,
    `task.failed`, `task.retrying`, `task.revoked`, `task.dead`, `task.published`, `outcome.refused`,
    `outcome.repeated`. `fields` has at least `task`, `task_id` and `correlation_id`. It is called in the thread that
    read Redis's answer, so it must be short; what it raises is logged."""
    _listeners.append(listener)
    return listener


def ignore(listener: Listener) -> None:
    """Call it no more."""
    _listeners.remove(listener)


def listening() -> bool:
    """Whether there is a listener."""
    return bool(_listeners)


def heard(level: int = logging.INFO) -> bool:
    """Whether a transition would be logged, or heard by a listener."""
    return bool(_listeners) or logger.isEnabledFor(level)


def transition(
    event: str, *, level: int = logging.INFO, exc_info: BaseException | None = None, logged: bool = True, **fields: Any
) -> None:
    """A message has gone from one state to another: log it, unless Celery does, and call every listener."""
    if logged:
        emit(event, level=level, exc_info=exc_info, **fields)
    for listener in _listeners:
        try:
            listener(event, fields)
        except BaseException as exc:  # SystemExit, too: it must not end whoever tells
            emit("listener.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
