"""Telling that a task was published: to the log, and to whoever listens to Celery's signals.

What Celery publishes for us gets its stamp and its line in the log by those signals; what we publish, directly, as long
as nobody else listens."""

import json
import logging
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu.utils.json import dumps

from common_tasks import correlation, ledger
from common_tasks.events import emit, logger
from common_tasks.transport import keys
from common_tasks.transport.outgoing import Outgoing, Published

if TYPE_CHECKING:
    from celery import Celery


MISSING = (
    "its message is not in this queue any more, nor held, due or dead: it was removed by hand, a stock worker took it, "
    "or its contract keeps no record; to publish it again: DEL {}"
)


def tell(message: Outgoing) -> None:
    """To the log, and to whoever listens: it is published."""
    if not listening():
        _log("task.published", message.task, message.task_id, message.queue, message.correlation_id)
        return
    frame = json.loads(message.raw)
    body = tuple(json.loads(b64decode(frame["body"])))
    signals.after_task_publish.send(
        sender=message.task, body=body, headers=frame["headers"], exchange="", routing_key=message.queue
    )


def tell_all(chunk: list[Outgoing], published: Published) -> None:
    """The same of what came into a queue; and what was published before."""
    if logger.isEnabledFor(logging.INFO) or listening() or published.missing:
        accepted, before = set(published.accepted), set(published.duplicates)
        for message in chunk:
            if message.task_id in accepted:
                tell(message)
            elif message.task_id in before:
                _tell_before(message, published)


def _tell_before(message: Outgoing, published: Published) -> None:
    if not message.correlation_id:
        return
    level = logging.INFO
    more: dict[str, Any] = {"found": True}
    if message.task_id in published.missing:
        level, more = logging.WARNING, {"found": False, "hint": MISSING.format(keys.once(message.task_id))}
    elif message.task_id in published.unchecked:
        more = {"found": None}
    more |= {"task": message.task, "task_id": message.task_id, "queue": message.queue}
    emit("task.published_before", level=level, correlation_id=message.correlation_id, **more)


@signals.before_task_publish.connect
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    correlation.stamp(headers)


@signals.after_task_publish.connect
def _published(sender: str, headers: dict[str, Any], routing_key: str, **_: Any) -> None:
    _log(
        "task.published",
        sender,
        headers["id"],
        routing_key,
        "" if ledger.HEADER in headers else headers[correlation.HEADER],
    )


def _log(event: str, task: str, task_id: str, queue: str, correlation_id: str) -> None:
    if correlation_id:  # none: it is measured, not told
        emit(event, task=task, task_id=task_id, queue=queue, correlation_id=correlation_id)


def listening() -> bool:
    """Whether anybody but us listens."""
    return len(signals.before_task_publish.receivers) > 1 or len(signals.after_task_publish.receivers) > 1


def shown(app: "Celery", task: str, queue: str, raw: bytes) -> tuple[bytes, str]:
    """The message after listeners saw and perhaps changed it, and its correlation id."""
    frame = json.loads(raw)
    headers, properties = frame["headers"], frame["properties"]
    body = tuple(json.loads(b64decode(frame["body"])))
    visible = {name: properties[name] for name in ("correlation_id", "reply_to", "priority")}
    signals.before_task_publish.send(
        sender=task,
        body=body,
        exchange="",
        routing_key=queue,
        declare=[],
        headers=headers,
        properties=visible,
        retry_policy=dict(app.conf.task_publish_retry_policy),
    )
    frame["body"] = b64encode(dumps(body).encode()).decode()
    tag = properties.pop("delivery_tag")
    frame["properties"] = {**properties, **visible, "delivery_tag": tag}  # the tag comes last: claims look for it there
    return dumps(frame).encode(), headers[correlation.HEADER]
