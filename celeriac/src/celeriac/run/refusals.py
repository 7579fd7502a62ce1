"""Celery's signals of messages that a worker does not take: task_unknown and task_rejected."""

import logging
from typing import Any

from celery import signals

from celeriac.events import emit
from celeriac.message.reading import whole_body


class Refusals:
    """One for each app of a worker; for all threads."""

    def __init__(self) -> None:
        self.consumer: Any = None  # the newest
        self.channel: Any = None

    def send(self, message: Any, reason: str, error: Exception | None) -> None:
        """Send task_unknown for the reason `unknown-task`, else task_rejected, if the signal has receivers. `message`:
        the message as JSON data; None if it is no JSON."""
        try:
            self._send(message, reason, error)
        except Exception as exc:  # the message says something that the signal cannot say
            emit("signal.not_sent", level=logging.WARNING, error=str(exc))

    def _send(self, message: Any, reason: str, error: Exception | None) -> None:
        signal = signals.task_unknown if reason == "unknown-task" else signals.task_rejected
        if not signal.receivers:
            return
        given = {"sender": self.consumer, "message": self._as_kombus(message)}
        if reason != "unknown-task":
            signal.send(exc=error, **given)
            return
        headers = message["headers"]
        known = headers if "task" in headers else whole_body(message)  # protocol 1: it is all in the body
        signal.send(exc=KeyError(known["task"]), name=known["task"], id=known["id"], **given)

    def _as_kombus(self, message: Any) -> Any:
        """The message as kombu hands it to a consumer; unchanged if kombu cannot read it."""
        try:
            return self.channel.message_to_python(message)
        except Exception:
            return message
