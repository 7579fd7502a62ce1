"""The shape of a message of Celery's protocol 2, checked before anybody relies on it: one wrong type in a header, and
Celery would throw the message away, or its worker would die of it."""

from collections.abc import Collection, Container
from datetime import datetime
from typing import Annotated, Any

import msgspec

from common_tasks.transport.reading import body, whole_body

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = float | None


class Headers(msgspec.Struct):
    task: str
    id: Annotated[str, msgspec.Meta(min_length=1)]
    retries: Count = 0
    eta: str | None = None
    expires: str | None = None
    timelimit: tuple[Seconds, Seconds] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None


class DeliveryInfo(msgspec.Struct):
    routing_key: str
    exchange: str | None = None


class Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: DeliveryInfo
    priority: int | None = None
    body_encoding: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None


class Envelope(msgspec.Struct):
    body: str
    headers: Headers
    properties: Properties
    content_type: str = msgspec.field(name="content-type")


class Links(msgspec.Struct):
    """What else a body holds: what Celery's tracer does when the task is done."""

    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    chain: list[dict[str, Any]] | None = None
    chord: dict[str, Any] | None = None


def check(message: Any) -> None:
    """Raises ValueError that names the place."""
    envelope = msgspec.convert(message, Envelope)
    headers = envelope.headers
    if headers.eta is not None or headers.expires is not None:
        for text in (headers.eta, headers.expires):
            if text is not None:
                datetime.fromisoformat(text)


def check_links(embed: dict[str, Any]) -> None:
    """Raises ValueError that names the place."""
    msgspec.convert(embed, Links)


def refusal(message: dict[str, Any], tasks: Container[str], accepted: Collection[str]) -> tuple[str, str] | None:
    """Reason and text, if Celery could not take this message: it would throw it away. `accepted` are serializers."""
    kind = message.get("content-type")
    if kind not in accepted and not (kind == "application/json" and "json" in accepted):
        return "undecodable", f"its content type is {kind!r}; accepted is {', '.join(sorted(accepted))}"
    headers = message["headers"]
    try:
        if "task" in headers:
            task = headers["task"]
            if kind == "application/json" and not headers.get("compression"):
                check_links(body(message)[2])
        else:  # protocol 1: it is all in the body
            told = whole_body(message)
            task = told["task"]
            headers.setdefault("id", told["id"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        return "undecodable", f"its body: {type(exc).__name__}: {exc}"
    return None if isinstance(task, str) and task in tasks else ("unknown-task", f"no task {str(task)[:200]!r} here")
