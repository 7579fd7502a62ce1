"""Publishes payloads of a contract: one, or many. Whatever ends it, the caller gets to know exactly what became of each
payload."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from celery import Celery
from celery.result import EagerResult

from celeriac.contract import signature
from celeriac.contract.messages import Messages, messages, usual
from celeriac.contract.spec import Spec
from celeriac.outcome.commit import current as open_commit
from celeriac.payloads import TaskPayload
from celeriac.publish.announcement import listening, tell, tell_all
from celeriac.publish.of_app import publisher_of
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.publisher import Publisher
from celeriac.published import Published

T = TypeVar("T")


def publish(spec: Spec[Any, Any], app: Celery, checked: Any, options: Mapping[str, Any]) -> "str | EagerResult[Any]":
    """Publish a payload that is checked already. Returns its task id; with `task_always_eager` the result of the task,
    which has run. Raises PublishError, Conflict or NoBody."""
    publisher = publisher_of(app) if usual(app, options) else None
    if publisher is None:
        sent = signature.of(spec, app, checked, options).apply_async()
        return sent if isinstance(sent, EagerResult) else str(sent.id)
    makes = messages(spec, app, options, publisher.now_us)
    message = makes.make(checked)
    if (commit := open_commit(app)) is not None:
        commit.add_child(message.list, message.raw, (message.task_id, message.raw[-39:-3].decode(), message.task, {}))
        tell(message)
    else:
        try:
            published = publisher.place(message)
        except Exception as exc:
            if message.sending is not None:
                message.sending.failed(exc)
            raise
        tell_all([message], published)
    if makes.parent is not None:
        makes.parent.add_trail(app.AsyncResult(message.task_id))
    return message.task_id


def publish_many(spec: Spec[Any, Any], app: Celery, payloads: Iterable[Any], options: Mapping[str, Any]) -> Published:
    """Publish in order; each payload is validated before it is sent. It ends with the first one that is not accepted:
    the error has `published`."""
    given = iter(payloads)
    wrong: list[tuple[Any, Exception]] = []

    def each(make: Callable[[Any], T]) -> Iterator[T]:
        for payload in given:
            try:
                made = make(spec.check(payload))
            except Exception as exc:
                wrong.append((payload, exc))
                return
            yield made

    became = Published()
    publisher = publisher_of(app) if usual(app, options) else None
    try:
        if publisher is None or open_commit(app) is not None or app.current_worker_task is not None:
            became = _one_by_one(spec, app, each(_itself), options)
        else:
            made = each(Messages(spec, app, options, publisher.now_us).make)
            became = _in_turn(publisher, made) if listening() else publisher.publish_all(made, tell_all)
        for _, problem in wrong:
            raise problem
    except Exception as exc:
        became = getattr(exc, "published", None) or became
        rest = [*(payload for payload, _ in wrong), *given]
        exc.published = became + Published(refused=_ids(rest))  # type: ignore[attr-defined]  # an attribute of ours on any error
        raise
    return became


def _one_by_one(spec: Spec[Any, Any], app: Celery, payloads: Iterable[Any], options: Mapping[str, Any]) -> Published:
    accepted: list[str] = []
    for payload in payloads:
        try:
            sent = publish(spec, app, payload, options)
            accepted.append(sent if isinstance(sent, str) else sent.id)
        except Exception as exc:
            became = getattr(exc, "published", None) or Published(unknown=_ids([payload]))
            exc.published = Published(accepted=tuple(accepted)) + became  # type: ignore[attr-defined]  # an attribute of ours on any error
            raise
    return Published(accepted=tuple(accepted))


def _in_turn(publisher: Publisher, messages: Iterable[Outgoing]) -> Published:
    """The signals have receivers: publish one message and send its signals (`announcement.after`) before the next."""
    became = Published()
    for message in messages:
        try:
            became += publisher.publish_all([message], tell_all)
        except Exception as exc:
            exc.published = became + (getattr(exc, "published", None) or Published())  # type: ignore[attr-defined]  # an attribute of ours on any error
            raise
    return became


def _itself(payload: Any) -> Any:
    return payload


def _ids(payloads: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(payload.task_id) for payload in payloads if isinstance(payload, TaskPayload))
