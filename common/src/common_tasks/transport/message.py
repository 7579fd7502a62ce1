"""Task messages as stock Celery and kombu lay them out in Redis (protocol 2), made cheaply."""

import os
import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import count
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from types import MappingProxyType
from typing import Any, Required, TypedDict, Unpack
from uuid import uuid4

from kombu.utils.json import JSONEncoder

# As kombu writes JSON: ASCII only, exact integers, and its own marks for dates, UUIDs, bytes.
encode = JSONEncoder().encode

EMBED = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
NO_HEADERS: Mapping[str, Any] = MappingProxyType({})
HIDDEN = "..."  # what monitors show of arguments: they may be somebody's personal data

# Celery's own headers. Ours come after them, and none of them twice: not every reader of JSON takes the last one.
CELERYS = frozenset(
    {"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"}
    | {"parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"}
    | {"stamped_headers", "stamps"}
)


class Parts(TypedDict, total=False):
    """All around the body. Times are ISO 8601 with their zone; `headers` are further ones, none of Celery's."""

    task_id: Required[str]
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
    """What a message says about the process that made it."""

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


def frame(
    task: str, queue: str, args: Sequence[Any], *, kwargs: Mapping[str, Any] | None = None, **parts: Unpack[Parts]
) -> bytes:
    """A complete message, ready for LPUSH."""
    body = f"[{encode(args)}, {encode(kwargs) if kwargs else '{}'}{EMBED}"
    return envelope(task, queue, b64encode(body.encode()).decode(), **parts)


def frame_of_json(task: str, queue: str, payload: bytes | None, **parts: Unpack[Parts]) -> bytes:
    """The same, for one positional argument (or none) that is JSON in UTF-8 already."""
    body = b"[[%b], {}%b" % (payload or b"", EMBED.encode())
    return envelope(task, queue, b64encode(body).decode(), **parts)


def envelope(
    task: str,
    queue: str,
    body: str,
    *,
    task_id: str,
    root_id: str | None = None,
    parent_id: str | None = None,
    headers: Mapping[str, Any] = NO_HEADERS,
    ignore_result: bool = False,
    priority: int = 0,
    eta: str | None = None,
    expires: str | None = None,
    retries: int = 0,
    timelimit: tuple[float | None, float | None] = (None, None),
    argsrepr: str = HIDDEN,
    kwargsrepr: str = "{}",
    reply_to: str = "",
) -> bytes:
    """A body in base64, and all around it."""
    if not CELERYS.isdisjoint(headers):
        raise ValueError(f"{', '.join(sorted(CELERYS & set(headers)))}: headers of Celery's own, not further ones")
    identity = quoted(task_id)
    further = "".join([f", {quoted(name)}: {_value(value)}" for name, value in headers.items()])
    return (
        f'{{"body": "{body}", "content-encoding": "utf-8", "content-type": "application/json", "headers": {{'
        f'"lang": "py", "task": {quoted(task)}, "id": {identity}, "shadow": null'
        f', "eta": {_text(eta)}, "expires": {_text(expires)}, "group": null, "group_index": null, "retries": {retries}'
        f', "timelimit": [{_value(timelimit[0])}, {_value(timelimit[1])}]'
        f', "root_id": {quoted(root_id) if root_id else identity}, "parent_id": {_text(parent_id)}'
        f', "argsrepr": {quoted(argsrepr)}, "kwargsrepr": {quoted(kwargsrepr)}, "origin": {_process.origin}'
        f', "ignore_result": {"true" if ignore_result else "false"}, "replaced_task_nesting": 0'
        f', "stamped_headers": null, "stamps": {{}}{further}}}, "properties": {{"correlation_id": {identity}'
        f', "reply_to": {quoted(reply_to)}, "delivery_mode": 2, "delivery_info": {{"exchange": ""'
        f', "routing_key": {quoted(queue)}}}, "priority": {priority}, "body_encoding": "base64"'
        f', "delivery_tag": "{_process.tag()}"}}}}'
    ).encode()


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _value(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    return "null" if value is None else encode(value)
