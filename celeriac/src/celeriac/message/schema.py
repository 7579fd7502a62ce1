"""The schema of a task message. It is checked before anything else happens: with one wrong type in a header, Celery
would drop the message, or the worker would end."""

import pickle
from collections.abc import Collection, Container
from datetime import datetime
from math import isfinite
from typing import Annotated, Any

import msgspec
from kombu.compression import decompress
from kombu.serialization import loads as deserialize
from kombu.serialization import prepare_accept_content
from msgspec import UNSET, UnsetType

from celeriac.message.reading import parts_of, raw_body, whole_body

# No real message has larger numbers. And Python writes no integer of more than 4,300 digits, so such a message could
# not be published again.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Number = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]
SPARE_DEPTH = 50  # that Celery's pool may need around a message
OLD_ETA = "eta"  # beside the headers of a message of protocol 1: the ETA that only its body tells
Seconds = Annotated[float, msgspec.Meta(ge=0)] | None
Id = Annotated[str, msgspec.Meta(min_length=1)]


class Headers(msgspec.Struct):
    task: str
    id: Id
    retries: Count = 0
    eta: str | None = None
    expires: str | None = None
    timelimit: tuple[Seconds, Seconds] | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: Number | None = None
    shadow: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: Number | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    compression: str | None = None
    # Celery's request makes its attributes of the headers. These are its methods and its state: no header may replace
    # them.
    get: UnsetType = UNSET
    as_execution_options: UnsetType = UNSET
    own_children: UnsetType = msgspec.field(default=UNSET, name="_children")
    get_custom_headers: UnsetType = msgspec.field(default=UNSET, name="_get_custom_headers")
    filter_x_death_headers: UnsetType = msgspec.field(default=UNSET, name="_filter_x_death_headers")
    called_directly: UnsetType = UNSET
    is_eager: UnsetType = UNSET


class DeliveryInfo(msgspec.Struct):
    routing_key: str
    exchange: str | None = None


class Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: DeliveryInfo
    priority: Number | None = None
    body_encoding: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None


class Envelope(msgspec.Struct):
    body: str
    headers: Headers
    properties: Properties
    content_type: str = msgspec.field(name="content-type")
    content_encoding: str | None = msgspec.field(default=None, name="content-encoding")


class OldHeaders(msgspec.Struct):
    compression: str | None = None


class OldEnvelope(msgspec.Struct):
    """A message of protocol 1: its body holds what protocol 2 has in the headers."""

    body: str
    headers: OldHeaders
    properties: Properties
    content_type: str = msgspec.field(name="content-type")
    content_encoding: str | None = msgspec.field(default=None, name="content-encoding")


class Signature(msgspec.Struct):
    """A task that is to be called later."""

    task: str
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    subtask_type: str | None = None


class Links(msgspec.Struct):
    """The last part of a body: what Celery's tracer does when the task is done."""

    callbacks: list[Signature] | None = None
    errbacks: list[Signature] | None = None
    chain: list[Signature] | None = None
    chord: Signature | None = None


class OldBody(Headers):
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    utc: bool | None = None
    taskset: str | None = None
    callbacks: list[Signature] | None = None
    errbacks: list[Signature] | None = None
    chord: Signature | None = None


def check(message: Any) -> None:
    """Raises an exception that names the wrong field."""
    if "task" not in message["headers"]:
        msgspec.convert(message, OldEnvelope)
        return
    headers = msgspec.convert(message, Envelope).headers
    if headers.eta is not None or headers.expires is not None or not headers.id.isascii():
        _check_words(headers)


def _check_words(headers: Headers) -> None:
    if headers.eta is not None or headers.expires is not None:
        for text in (headers.eta, headers.expires):
            if text is not None:
                datetime.fromisoformat(text)
    if not headers.id.isascii():
        headers.id.encode()  # half a surrogate pair has no UTF-8, so it cannot be part of a key


def legible(message: Any) -> dict[str, Any]:
    """The headers of a message that may be written into a dead letter and a log: text, and numbers of a usual size.
    Others are left out: they may have any depth, size and type."""
    headers = message.get("headers") if isinstance(message, dict) else None
    found = {}
    for name, value in headers.items() if isinstance(headers, dict) else ():
        kind = type(value)
        if kind is bool or (kind is int and abs(value) <= 2**31) or (kind is float and isfinite(value)):
            found[name] = value
        elif kind is str:
            found[name] = value.encode(errors="replace").decode()
    return found


def check_links(embed: dict[str, Any]) -> None:
    """Raises an exception that names the wrong field."""
    msgspec.convert(embed, Links)


def refusal(
    message: dict[str, Any], tasks: Container[str], accepted: Collection[str], *, pickled: bool = False
) -> tuple[str, str] | None:
    """Reason and text, if Celery cannot take this message and would drop it; else None. `accepted`: serializers;
    `pickled`: it goes to another process, and what cannot be pickled would end this one."""
    headers, kind = message["headers"], message["content-type"]
    types: Any = prepare_accept_content(accepted)
    if kind not in types:
        return "undecodable", f"its content type is {kind!r}; accepted is {', '.join(sorted(accepted))}"
    try:
        plain = kind == "application/json" and not headers.get("compression")
        whole = whole_body(message) if plain else _as_kombu(message, types)
        if "task" in headers:
            check_links(parts_of(whole)[2])
            task = headers["task"]
        else:
            headers.setdefault("id", whole["id"])
            old = msgspec.convert({**whole, **headers}, OldBody)
            _check_words(old)
            task = old.task
            message[OLD_ETA] = None if "eta" in headers else old.eta
        if pickled:
            _check_depth([message, whole])
    except Exception as exc:
        return "undecodable", f"its body: {type(exc).__name__}: {exc}"
    return None if task in tasks else ("unknown-task", f"no task {task[:200]!r} here")


def _check_depth(value: Any) -> None:
    """Raises RecursionError, a bit earlier than the pool that pickles it."""
    for _ in range(SPARE_DEPTH):
        value = [value]
    pickle.dumps(value)


def _as_kombu(message: dict[str, Any], types: Any) -> Any:
    """The body as kombu reads it. Celery drops a message that kombu cannot read."""
    text: Any = raw_body(message)
    if compression := message["headers"].get("compression"):
        text = decompress(text, compression)
    return deserialize(text, message["content-type"], message.get("content-encoding") or "utf-8", accept=types)
