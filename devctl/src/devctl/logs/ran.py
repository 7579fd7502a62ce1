"""How long one task waited and ran, and where: from the lines of our logs, or of Celery's own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devctl.stack.port import Runtime

_STOCK = re.compile(r"Task [^\s\[]+\[[^\]\s]+\] (succeeded in ([\d.]+)s|raised unexpected)")
_TRIES, _PAUSE = 3, 0.05  # the result may be here a moment before the line is


@dataclass(frozen=True)
class Ran:
    """One run. None: the log does not say."""

    queue_seconds: float | None
    run_seconds: float | None
    replica: str


def find(
    runtime: Runtime,
    services: Sequence[str],
    task_id: str,
    since: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Ran | None:
    """The last run of a task that has ended; None where the services do not log it."""
    for attempt in range(_TRIES):
        if attempt:
            sleep(_PAUSE)
        waited, ended, replica = None, None, ""
        with runtime.logs(services, since=since) as lines:
            for line in lines:
                if task_id not in line.text:
                    continue
                if stock := _STOCK.search(line.text):
                    ended, replica = (float(stock[2]) if stock[2] else None), line.replica
                    continue
                if (record := _record(line.text)).get("task_id") != task_id:
                    continue
                if record.get("event") == "task.started":
                    waited = _seconds(record.get("queue_seconds"))
                elif record.get("event") in {"task.succeeded", "task.failed"}:
                    ended, replica = _seconds(record.get("run_seconds")), line.replica
        if replica:
            return Ran(waited, ended, replica)
    return None


def _record(text: str) -> dict[str, object]:
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
