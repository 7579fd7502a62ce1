"""What a dead letter tells about itself."""

import json
from typing import Any

from common_tasks import correlation
from common_tasks.redaction import redact

LONGEST_ERROR = 8_000  # characters


def about(
    reason: str, error: str, *, queue: str, headers: dict[str, Any] | None = None, starts: int = 0, worker: str = ""
) -> str:
    """JSON, for the stream entry beside the message itself."""
    told = headers or {}
    return json.dumps(
        {
            "reason": reason,
            "error": redact(error)[:LONGEST_ERROR],
            "task": _text(told.get("task")),
            "task_id": _text(told.get("id")),
            "queue": queue,
            "starts": starts,
            "retries": told.get("retries") if isinstance(told.get("retries"), int) else None,
            "replays": told.get("replays") if isinstance(told.get("replays"), int) else 0,
            "worker": worker,
            "published_at": told.get(correlation.PUBLISHED_AT),
            "correlation_id": _text(told.get(correlation.HEADER)),
        },
        default=str,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
