"""Tells that a task was published: to the log, and to receivers of Celery's signals.

A message that Celery publishes gets its correlation id and its line in the log by these signals. A message that we
publish gets both directly; the signals are sent for it only if they have other receivers than ours."""

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import signals
from celery.exceptions import QueueNotFound

from celeriac import correlation
from celeriac.broker import keys
from celeriac.events import emit, heard, transition
from celeriac.message.frame import encode, packed
from celeriac.message.reading import loads, whole_body
from celeriac.outcome.commit import OPEN
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.sending import LOOKING, begin, end
from celeriac.published import Published
from celeriac.trace_context import TRACEPARENT, Trace

if TYPE_CHECKING:
    from celery import Celery

OURS = {"told": False}  # an argument that only our own signals have: our receivers do nothing then
MISSING = (
    "its message is not in this queue any more, nor held, due or dead: it was removed by hand, a stock worker took it, "
    "or its contract keeps no record; to publish it again: DEL {}"
)


class _Local(threading.local):
    sending: Any = None  # of the message that Celery publishes in this thread


_local = _Local()


def tell(message: Outgoing) -> None:
    """Write to the log that this message is published, and send the signal."""
    _log("task.published", message.task, message.task_id, message.queue, message.correlation_id)
    end(message.sending)
    after(message.task, message.queue, message.raw)


def after(task: str, queue: str, raw: bytes) -> None:
    """Send after_task_publish, if it has receivers. It follows the before_task_publish of the same message (`shown`) in
    the same thread, before the signals of another message: tracing libraries keep a span open between the two. So it is
    sent also if the message was published before, and if it still waits for the commit of a task."""
    if not listening():
        return
    frame = loads(raw)
    body, headers = tuple(whole_body(frame)), frame["headers"]
    signals.after_task_publish.send(sender=task, body=body, headers=headers, exchange="", routing_key=queue, **OURS)


def tell_all(chunk: list[Outgoing], published: Published) -> None:
    """Tell of all messages of a chunk that are published, now or before."""
    if heard() or listening() or published.missing or LOOKING.begin is not None:
        accepted, before = set(published.accepted), set(published.duplicates)
        for message in chunk:
            if message.task_id in accepted:
                tell(message)
            elif message.task_id in before:
                _tell_before(message, published)
                end(message.sending)
                after(message.task, message.queue, message.raw)
            elif message.sending is not None:
                message.sending.failed(None)


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
def _stamp(sender: str, headers: dict[str, Any], routing_key: str, told: bool = True, **_: Any) -> None:
    if not told:
        return
    given = TRACEPARENT in headers
    correlation.stamp(headers)
    if LOOKING.begin is None or headers.get("retries"):  # a retry is the same message again
        return
    unsent, correlation_id = _local.sending, headers[correlation.HEADER]
    if unsent is not None:
        unsent.failed(None)  # Celery says nothing of a publish that fails
    trace = Trace.of(headers)
    _local.sending = sending = begin(sender, routing_key, headers["id"], correlation_id, trace, given=given)
    headers.update(sending.headers if sending else {})


@signals.after_task_publish.connect
def _published(sender: str, headers: dict[str, Any], routing_key: str, told: bool = True, **_: Any) -> None:
    if told:
        _log("task.published", sender, headers["id"], routing_key, headers[correlation.HEADER])
        sending, _local.sending = _local.sending, None
        end(sending)


def _log(event: str, task: str, task_id: str, queue: str, correlation_id: str) -> None:
    if not correlation_id:  # messages of a benchmark have none, and get no line
        return
    fields: dict[str, Any] = {"task": task, "task_id": task_id, "queue": queue, "correlation_id": correlation_id}
    if OPEN.commit is None:
        transition(event, **fields)
    else:  # published by a task: it is in Redis when that task is committed
        if trace := correlation.trace():
            fields["trace_id"] = trace.id
        OPEN.commit.then(lambda: transition(event, **fields))


def listening() -> bool:
    """Whether the signals have other receivers than ours."""
    return len(signals.before_task_publish.receivers) > 1 or len(signals.after_task_publish.receivers) > 1


class Shown(NamedTuple):
    """A message after the receivers of before_task_publish, which may have changed it."""

    raw: bytes
    priority: int
    correlation_id: str


def shown(app: "Celery", task: str, queue: str, raw: bytes) -> Shown:
    """Send before_task_publish for a message that has its correlation id and its time of publishing already."""
    frame = loads(raw)
    headers, properties = frame["headers"], frame["properties"]
    body = tuple(whole_body(frame))
    visible = {name: properties[name] for name in ("correlation_id", "reply_to", "priority")}
    signals.before_task_publish.send(
        sender=task,
        body=body,
        exchange="",
        routing_key=queue,
        declare=_declared(app, queue),
        headers=headers,
        properties=visible,
        retry_policy=dict(app.conf.task_publish_retry_policy),
        **OURS,
    )
    frame["body"] = packed(encode(body).encode())
    tag = properties.pop("delivery_tag")
    frame["properties"] = {**properties, **visible, "delivery_tag": tag}  # the tag is last: a claim looks for it there
    return Shown(encode(frame).encode(), int(visible["priority"] or 0), str(headers.get(correlation.HEADER) or ""))


def _declared(app: "Celery", queue: str) -> list[Any]:
    try:
        return [app.amqp.queues[queue]]
    except (KeyError, QueueNotFound):  # task_create_missing_queues is off, and the queue is not in task_queues
        return []
