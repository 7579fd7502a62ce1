"""Usual messages: those that Celery 5 and our contracts publish, without time limits, ETA, expiry and stamps. They are
read and checked in one step, in a third of the time of two. All others take the two steps: `reading.loads`,
`schema.check`."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from celeriac.message.schema import Count, Id, Number

Nothing = Annotated[dict[str, Any], msgspec.Meta(max_length=0)]
OURS = ("fingerprint", "x_correlation_id", "published_at")  # headers of contracts
OF_TRACED = (*OURS, "traceparent", "tracestate")
NoLimits = Annotated[list[None], msgspec.Meta(min_length=2, max_length=2)]


class _Headers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    lang: str
    task: str
    id: Id
    shadow: str | None
    eta: None
    expires: None
    group: str | None
    group_index: Number | None
    retries: Count
    timelimit: NoLimits
    root_id: str | None
    parent_id: str | None
    argsrepr: str | None
    kwargsrepr: str | None
    origin: str | None
    ignore_result: bool | None
    replaced_task_nesting: Number | None
    stamped_headers: None
    stamps: Nothing
    fingerprint: str | UnsetType = UNSET
    x_correlation_id: str | UnsetType = UNSET
    published_at: int | float | UnsetType = UNSET


class _TracedHeaders(_Headers, forbid_unknown_fields=True, gc=False):
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET


class _DeliveryInfo(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    exchange: str | None
    routing_key: str


class _Properties(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    correlation_id: str | None
    reply_to: str | None
    delivery_mode: Number
    delivery_info: _DeliveryInfo
    priority: Number | None
    body_encoding: str | None
    delivery_tag: str


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    body: str
    content_encoding: str | None = msgspec.field(name="content-encoding")
    content_type: str = msgspec.field(name="content-type")
    headers: _Headers
    properties: _Properties


class _TracedEnvelope(_Envelope):
    headers: _TracedHeaders


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_traced = msgspec.json.Decoder(_TracedEnvelope).decode
TRACED = b'"traceparent"'


def usual(raw: bytes) -> dict[str, Any] | None:
    """The message, read and checked; None if it is not a usual one, or none at all. Most have no trace: two more fields
    would make each of them a twelfth slower."""
    optional: tuple[str, ...] = OURS
    try:
        found = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if raw.find(TRACED) < 0:
            return None
        try:
            found, optional = _decode_traced(raw), OF_TRACED
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
    headers, properties = asdict(found.headers), asdict(found.properties)
    properties["delivery_info"] = asdict(found.properties.delivery_info)
    for name in optional:
        if headers[name] is UNSET:
            del headers[name]
    return {
        "body": found.body,
        "content-encoding": found.content_encoding,
        "content-type": found.content_type,
        "headers": headers,
        "properties": properties,
    }
