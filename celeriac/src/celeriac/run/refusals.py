"""Celery's signals of messages that a worker does not take: task_unknown and task_rejected."""

from typing import Any

from celery import signals

from celeriac.message.reading import whole_body


def not_taken(consumer: Any, channel: Any, message: Any, reason: str, error: Exception | None) -> None:
    """Send task_unknown for the reason `unknown-task`, else task_rejected, if the signal has receivers. `message`: the
    message as JSON data; None if it is no JSON."""
    signal = signals.task_unknown if reason == "unknown-task" else signals.task_rejected
    if not signal.receivers:
        return
    given = {"sender": consumer, "message": _as_kombus(channel, message)}
    if reason != "unknown-task":
        signal.send(exc=error, **given)
        return
    headers = message["headers"]
    known = headers if "task" in headers else whole_body(message)  # protocol 1: it is all in the body
    signal.send(exc=KeyError(known["task"]), name=known["task"], id=known["id"], **given)


def _as_kombus(channel: Any, message: Any) -> Any:
    """The message as kombu hands it to a consumer; unchanged if kombu cannot read it."""
    try:
        return channel.message_to_python(message)
    except Exception:
        return message
