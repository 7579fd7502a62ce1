"""Events of the life of a task, through the standard logging: silent until a service configures its logs."""

import logging
from typing import Any

logger = logging.getLogger("common_tasks")
logger.addHandler(logging.NullHandler())

# Tasks whose life is told by events; Celery's own lines about them would say everything twice.
told: set[str] = set()


def told_at(level: int = logging.INFO) -> bool:
    """Whether anybody would see it: for events whose fields take time to make."""
    return logger.isEnabledFor(level)


def emit(event: str, *, level: int = logging.INFO, exc_info: BaseException | None = None, **fields: Any) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=exc_info, extra={"fields": fields})
