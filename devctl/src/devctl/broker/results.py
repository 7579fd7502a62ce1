"""Results as stock Celery stores them in Redis."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from devctl.broker.port import TaskResult, TaskState

_STATES: dict[str, TaskState] = {
    "STARTED": "started",
    "RETRY": "retrying",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "failed",
    "REJECTED": "failed",
}


def key(task_id: str) -> str:
    """Where a result lies."""
    return f"celery-task-meta-{task_id}"


def read(task_id: str, stored: bytes | None) -> TaskResult:
    """Understand what lies there; nothing there means that nobody knows of the task yet."""
    if stored is None:
        return TaskResult(task_id, "pending")
    meta = json.loads(stored)
    status = str(meta.get("status"))
    state = _STATES.get(status, "pending")
    result = meta.get("result")
    finished = _moment(meta.get("date_done"))
    if state not in {"failed", "retrying"}:
        return TaskResult(task_id, state, result, finished=finished)
    error = result if isinstance(result, dict) else {}
    return TaskResult(
        task_id,
        state,
        error_type=str(error.get("exc_type") or status.capitalize()),
        error_message=_text(error.get("exc_message", "" if error else result)),
        finished=finished,
    )


def _moment(written: Any) -> float | None:
    """Celery writes a time without a zone for UTC."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(message: Any) -> str:
    if isinstance(message, list | tuple):
        return ", ".join(str(part) for part in message)
    return "" if message is None else str(message)
