"""One line an event, from our code and from every library: JSON for machines, columns for a terminal."""

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog
from celery import current_task

from celeriac import correlation
from celeriac.events import own_events
from celeriac.redaction import redact


class LogFormat(StrEnum):
    AUTO = "auto"  # console on a terminal, else JSON
    CONSOLE = "console"
    JSON = "json"


def configure(service: str, level: str = "INFO", format: str = LogFormat.AUTO) -> None:  # noqa: A002  LOG_FORMAT is its name
    """Route everything that is logged in this process to stdout. Call it once, first."""
    console = format == LogFormat.CONSOLE or (format == LogFormat.AUTO and sys.stdout.isatty())
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter(service, console=console))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("celery.app.trace", "celery.worker.strategy"):
        logger = logging.getLogger(chatty)
        logger.filters[:] = [_said_by_us]
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _said_by_us(record: logging.LogRecord) -> bool:
    """Celery logs "received", "succeeded" and "raised" for each task. Contracts log events of their own instead."""
    data = getattr(record, "data", None) or (record.args if isinstance(record.args, dict) else {})
    return not (isinstance(data, dict) and data.get("name") in own_events)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, service: str, *, console: bool) -> None:
        colors = console and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        renderer: Any = (
            structlog.dev.ConsoleRenderer(
                colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            )
            if console
            else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        )
        tracebacks = [] if console else [structlog.processors.format_exc_info]
        super().__init__(processors=[_Line(service), *tracebacks, renderer])

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Line:
    """The fields of a line, in the order in which one reads them."""

    def __init__(self, service: str) -> None:
        self.service = service

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record: logging.LogRecord = event.pop("_record")
        event.pop("_from_structlog")
        if record.name == "py.warnings":
            event["event"] = " ".join(event["event"].split())
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "event": event.pop("event"),
        }
        if current_task:
            line |= {"task": current_task.name, "task_id": current_task.request.id}
        if correlation_id := correlation.current():
            line["correlation_id"] = correlation_id
        if trace := correlation.trace():
            line["trace_id"] = trace.id
        return {**line, **getattr(record, "fields", {}), **event}
