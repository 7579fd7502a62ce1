"""Makes task messages as stock Celery and kombu write them to Redis (protocol 2), in less time."""

import os
import socket
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from types import MappingProxyType
from typing import Any, TypedDict, Unpack
from uuid import uuid4

import msgspec
from kombu.utils.json import JSONEncoder

# As kombu writes JSON: ASCII only, exact integers, and its own marks for dates, UUIDs, bytes.
encode = JSONEncoder().encode
reduced = JSONEncoder().default  # what kombu writes for an object that JSON does not have. Raises TypeError
_quick, _read = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode

EMBED = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
EMBED_BYTES = EMBED.encode()
NO_HEADERS: Mapping[str, Any] = MappingProxyType({})
HIDDEN = "..."  # what monitors show for arguments, which may be personal data

# Celery's own headers. A header must not be there twice: readers of JSON differ in which of the two they take.
CELERYS = frozenset(
    {"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"}
    | {"parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"}
    | {"stamped_headers", "stamps"}
)


class Parts(TypedDict, total=False):
    """Everything but the body. Times are ISO 8601 with a time zone; `headers` are additional ones, none of Celery's."""

    root_id: str | None  # None: the task itself
    parent_id: str | None
    headers: Mapping[str, Any]
    ignore_result: bool
    priority: int
    eta: str | None
    expires: str | None
    retries: int
    timelimit: tuple[float | None, float | None]  # hard, soft; seconds
    argsrepr: str
    kwargsrepr: str
    reply_to: str


class _Process:
    """What a message contains about the process that made it."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)  # two processes must not give out the same tags

    def renew(self) -> None:
        self.prefix = str(uuid4())[:24]
        self.numbers = count(1)
        self.origin = quoted(f"gen{os.getpid()}@{socket.gethostname()}")

    def tag(self) -> str:
        """A new delivery tag: 36 characters, like the UUIDs that kombu takes."""
        return f"{self.prefix}{next(self.numbers):012x}"


_process = _Process()


class Mould:
    """Makes messages that differ only in ids, bodies and some headers: the rest is written once. Times are ISO 8601
    with a time zone; `headers` are additional ones, none of Celery's."""

    def __init__(
        self,
        task: str,
        queue: str,
        *,
        root_id: str | None = None,  # None: the task itself
        parent_id: str | None = None,
        headers: Mapping[str, Any] = NO_HEADERS,
        ignore_result: bool = False,
        priority: int = 0,
        eta: str | None = None,
        expires: str | None = None,
        retries: int = 0,
        timelimit: tuple[float | None, float | None] = (None, None),  # hard, soft; seconds
        argsrepr: str = HIDDEN,
        kwargsrepr: str = "{}",
        reply_to: str = "",
    ) -> None:
        if not CELERYS.isdisjoint(headers):
            raise ValueError(f"{', '.join(sorted(CELERYS & set(headers)))}: headers of Celery's own, not further ones")
        self._root = quoted(root_id) if root_id else ""
        self._parent = f', "parent_id": {_text(parent_id)}'
        self._before_id = (
            '", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py"'
            f', "task": {quoted(task)}, "id": '
        )
        self._before_root = (
            f', "shadow": null, "eta": {_text(eta)}, "expires": {_text(expires)}, "group": null, "group_index": null'
            f', "retries": {retries}, "timelimit": [{_value(timelimit[0])}, {_value(timelimit[1])}], "root_id": '
        )
        self._before_origin = f', "argsrepr": {quoted(argsrepr)}, "kwargsrepr": {quoted(kwargsrepr)}, "origin": '
        self._before_headers = (
            f', "ignore_result": {"true" if ignore_result else "false"}'
            f', "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {{}}{further(headers)}'
        )
        self._before_tag = (
            f', "reply_to": {quoted(reply_to)}, "delivery_mode": 2, "delivery_info": {{"exchange": ""'
            f', "routing_key": {quoted(queue)}}}, "priority": {priority}, "body_encoding": "base64", "delivery_tag": "'
        )

    def message(self, body: bytes, task_id: str, more: str = "", lineage: str = "") -> bytes:
        """A complete message, ready for LPUSH. `body`: JSON in UTF-8; `more`: what `further` makes of headers;
        `lineage`: what `lineage` makes of a root and a parent, in place of this mould's."""
        identity = quoted(task_id)
        return (
            f'{{"body": "{packed(body)}{self._before_id}{identity}{self._before_root}'
            f"{lineage or (self._root or identity) + self._parent}"
            f"{self._before_origin}{_process.origin}{self._before_headers}{more}"
            f'}}, "properties": {{"correlation_id": {identity}{self._before_tag}{_process.tag()}"}}}}'
        ).encode()


@lru_cache(maxsize=1_000)
def plain_mould(task: str, queue: str, *, ignore_result: bool) -> Mould:
    """That of messages without options: the same for all of them, also in the child of a fork."""
    return Mould(task, queue, ignore_result=ignore_result)


def lineage(root_id: str, parent_id: str) -> str:
    """Root and parent as they stand in a message."""
    return f'{quoted(root_id)}, "parent_id": {quoted(parent_id)}'


def frame(
    task: str,
    queue: str,
    args: Sequence[Any],
    *,
    task_id: str,
    kwargs: Mapping[str, Any] | None = None,
    **parts: Unpack[Parts],
) -> bytes:
    """One complete message."""
    body = f"[{encode(args)}, {encode(kwargs) if kwargs else '{}'}{EMBED}"
    return Mould(task, queue, **parts).message(body.encode(), task_id)


text_of = msgspec.to_builtins
"""`text_of(made)` of a UUID is `str(made)`, in half the time."""


def packed(body: bytes) -> str:
    """A body as it stands in a message."""
    return b2a_base64(body, newline=False).decode()


def body_of(payload: bytes | None) -> bytes:
    """The body of a message with this one argument, JSON in UTF-8, or with none."""
    return b"[[%b], {}%b" % (payload or b"", EMBED_BYTES)


def further(headers: Mapping[str, Any]) -> str:
    """Headers as they stand in a message, behind Celery's."""
    return "".join([f", {_name(name)}: {_value(value)}" for name, value in headers.items()])


def _name(name: Any) -> str:
    """A name in JSON is always text. Numbers and the like become text as kombu writes them."""
    return quoted(name) if isinstance(name, str) else encode({name: 0}).partition(": ")[0][1:]


def dumps(data: Any) -> bytes:
    """JSON of plain data (pydantic's JSON mode), in UTF-8. msgspec writes it, since it is fast. kombu writes what
    msgspec refuses (half a surrogate pair) or changes (NaN, which msgspec writes as null). Raises what kombu's encoder
    raises."""
    try:
        text = _quick(data)
        if b"null" not in text or _read(text) == data:
            return text
    except (TypeError, ValueError):
        pass
    return encode(data).encode()


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _value(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    return "null" if value is None else encode(value)
