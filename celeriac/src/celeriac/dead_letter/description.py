"""What a dead letter says about its message."""

import json
from typing import Any

from celeriac import correlation
from celeriac.redaction import redact

LONGEST_ERROR = 8_000  # characters
LARGEST = 1e12


def about(
    reason: str, error: str, *, queue: str, headers: dict[str, Any] | None = None, starts: int = 0, worker: str = ""
) -> str:
    """JSON, for the stream entry beside the message itself."""
    known = headers or {}
    return json.dumps(
        {
            "reason": reason,
            "error": redact(error)[:LONGEST_ERROR],
            "task": _text(known.get("task")),
            "task_id": _text(known.get("id")),
            "queue": queue,
            "starts": starts,
            "retries": _number(known.get("retries")),
            "replays": _number(known.get("replays")) or 0,
            "worker": worker,
            "published_at": _number(known.get(correlation.PUBLISHED_AT)),
            "correlation_id": _text(known.get(correlation.HEADER)),
        }
    )


def _number(value: Any) -> int | float | None:
    """None for what is no number, or a huge one: a header may hold anything."""
    return value if isinstance(value, int | float) and -LARGEST <= value <= LARGEST else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
