"""Events of the life of a task, through the standard logging: silent until a service configures its logs."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger("celeriac")
logger.addHandler(logging.NullHandler())

FAILED = "listener.failed"

# Names of tasks that log events of their own; Celery's lines about them are left out.
own_events: set[str] = set()


def emit(event: str, *, level: int = logging.INFO, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Something happened: log it, and call every listener."""
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=exc_info, extra={"fields": fields})
    if _listeners:
        _call(event, fields)


Listener = Callable[[str, Mapping[str, Any]], None]
_listeners: list[Listener] = []


def on_event(listener: Listener) -> Listener:
    """Call `listener(event, fields)` for every event of celeriac in this process, whatever is logged. docs/events.md
    lists them with their fields. Those of a message (`task.…`, `outcome.…`) are told once Redis has it; their fields
    have at least `task`, `task_id` and `correlation_id`. It is called in the thread that tells, so it must be short;
    what it raises is logged as `listener.failed`, which no listener hears."""
    _listeners.append(listener)
    return listener


def ignore(listener: Listener) -> None:
    """Call it no more."""
    _listeners.remove(listener)


def listening() -> bool:
    """Whether there is a listener."""
    return bool(_listeners)


def heard(level: int = logging.INFO) -> bool:
    """Whether an event of this level would be logged, or heard by a listener: for those whose fields take time to
    make."""
    return bool(_listeners) or logger.isEnabledFor(level)


def transition(
    event: str, *, level: int = logging.INFO, exc_info: BaseException | None = None, logged: bool = True, **fields: Any
) -> None:
    """A message has gone from one state to another: log it, unless Celery does, and call every listener."""
    if logged:
        emit(event, level=level, exc_info=exc_info, **fields)
    elif _listeners:
        _call(event, fields)


def _call(event: str, fields: Mapping[str, Any]) -> None:
    if event == FAILED:
        return
    for listener in _listeners:
        try:
            listener(event, fields)
        except BaseException as exc:  # SystemExit, too: it must not end whoever tells
            emit(FAILED, level=logging.ERROR, exc_info=exc, error=str(exc))
