"""Messages that no client should send, and messages that chance has spoiled, as bytes. Pure."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from devctl.chaos.observation import Fate
from devctl.chaos.publishing import QUEUE, TASK, Task, document
from devctl.chaos.structure import changed

_LARGE_BYTES = 50 * 10**6
_DEEP = 100_000


@dataclass(frozen=True)
class Case:
    """One kind of bad message."""

    name: str
    make: Callable[[str], list[bytes]]
    """From a run's name to the messages; most cases are one."""
    fate: Fate = "dead"


def good(run: str, task_id: str) -> bytes:
    """A message as stock Celery lays it out."""
    return _encode(_message(run, task_id))


def cases(*, large_bytes: int = _LARGE_BYTES) -> list[Case]:
    """Every raw message that docs/reliability.md names."""
    return [
        Case("empty", lambda _: [b""]),
        Case("not JSON", lambda _: [b"this is not JSON"]),
        Case("a list", lambda _: [b"[1, 2]"]),
        Case("a number", lambda _: [b"7"]),
        Case("binary", lambda _: [b"\xff\xfe\x00\x80"]),
        Case("cut off", lambda run: [good(run, _id())[:-40]]),
        Case("large", lambda run: [_with_body(run, payload={"padding": "x" * large_bytes})]),
        Case("deep", lambda _: [b'{"body": ' + b"[" * _DEEP + b"]" * _DEEP + b"}"]),
        Case("deep body", lambda run: [_with_text(run, "[" * _DEEP + "]" * _DEEP)]),
        Case("no properties", lambda run: [_without(run, "properties")]),
        Case("no headers", lambda run: [_without(run, "headers")]),
        Case("headers are null", lambda run: [_with(run, headers=None)]),
        Case("no body", lambda run: [_without(run, "body")]),
        Case("no delivery_tag", lambda run: [_without(run, "properties", "delivery_tag")]),
        Case("delivery_tag is a number", lambda run: [_nested(run, "properties", delivery_tag=7)]),
        Case("no delivery_info", lambda run: [_without(run, "properties", "delivery_info")]),
        Case("body not base64", lambda run: [_with(run, body="%%% not base64 %%%")]),
        Case("body not JSON", lambda run: [_with_text(run, "{oops")]),
        Case("body a text", lambda run: [_with_text(run, '"x"')]),
        Case("body of two parts", lambda run: [_with_text(run, "[[], {}]")]),
        Case("wrong arity", lambda run: [_with_text(run, "[[1, 2, 3, 4], {}, {}]")]),
        Case("wrong payload", lambda run: [_with_body(run, payload={"kind": "no such kind"})]),
        Case("pickle", lambda run: [_with(run, **{"content-type": "application/x-python-serialize"})]),
        Case("unknown content type", lambda run: [_with(run, **{"content-type": "application/x-none"})]),
        Case("unknown task", lambda run: [_nested(run, "headers", task="no.such.task")]),
        Case("no task", lambda run: [_without(run, "headers", "task")]),
        Case("no id", lambda run: [_without(run, "headers", "id")]),
        Case("bad eta", lambda run: [_nested(run, "headers", eta="tomorrow")]),
        Case("bad expires", lambda run: [_nested(run, "headers", expires="never")]),
        Case("bad retries", lambda run: [_nested(run, "headers", retries="many")]),
        Case("a quote in the routing key", _quoted, fate="either"),
        Case("one delivery tag twice", _twice, fate="either"),
    ]


def fuzzed(run: str, count: int, seed: int = 1) -> Iterator[bytes]:
    """Good messages that chance has spoiled; the same ones for the same seed. Of five, four say in one or two places
    what no client would say (one of them in protocol 1), and one has other bytes here and there."""
    chance = random.Random(seed)  # noqa: S311  # the same messages again
    for number in range(count):
        task_id, tag = (str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
        if number % 5 == 4:
            raw = good(run, task_id)
            for _ in range(chance.randint(1, 3)):
                raw = chance.choice(_SPOILERS)(raw, chance)
            yield raw
            continue
        message = _message(run, task_id)
        message["properties"]["delivery_tag"] = tag
        body = json.loads(base64.b64decode(message["body"]))
        if number % 5 == 3:
            body, message["headers"] = _old(task_id, body[0]), {}
        yield changed(message, body, chance)


def _old(task_id: str, args: list[Any]) -> dict[str, Any]:
    """The body of protocol 1, where all is in there."""
    nothing = dict.fromkeys(("group", "eta", "expires", "callbacks", "errbacks", "taskset", "chord"))
    more = {"kwargs": {}, "retries": 0, "utc": True, "timelimit": [None, None]}
    return {"task": TASK, "id": task_id, "args": args, **more, **nothing}


def _id() -> str:
    return str(uuid.uuid4())


def _message(run: str, task_id: str, text: str | None = None, **payload: Any) -> dict[str, Any]:
    asked = document(run, Task(task_id, notify=False)) | payload
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[asked], {}, embed]) if text is None else text
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": task_id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": task_id,
            "parent_id": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "chaos",
            "ignore_result": False,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _id(),
        },
    }


def _encode(message: object) -> bytes:
    return json.dumps(message).encode()


def _with(run: str, **values: object) -> bytes:
    return _encode({**_message(run, _id()), **values})


def _nested(run: str, part: str, **values: object) -> bytes:
    message = _message(run, _id())
    message[part].update(values)
    return _encode(message)


def _without(run: str, part: str, name: str = "") -> bytes:
    message = _message(run, _id())
    if name:
        del message[part][name]
    else:
        del message[part]
    return _encode(message)


def _with_text(run: str, text: str) -> bytes:
    return _encode(_message(run, _id(), text))


def _with_body(run: str, payload: dict[str, Any]) -> bytes:
    return _encode(_message(run, _id(), **payload))


def _quoted(run: str) -> list[bytes]:
    return [_nested(run, "properties", delivery_info={"exchange": "", "routing_key": 'a"b'})]


def _twice(run: str) -> list[bytes]:
    first, second = _message(run, _id()), _message(run, _id())
    second["properties"]["delivery_tag"] = first["properties"]["delivery_tag"]
    return [_encode(first), _encode(second)]


def _flip(raw: bytes, chance: random.Random) -> bytes:
    if not raw:
        return raw
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]


def _cut(raw: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(raw) + 1)
    return raw[:begin] + raw[begin + chance.randint(1, 40) :]


def _insert(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + chance.randbytes(chance.randint(1, 8)) + raw[at:]


def _truncate(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def _repeat(raw: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(raw) + 1)
    return raw[:begin] + raw[begin : begin + chance.randint(1, 80)] + raw[begin:]


def _change(raw: bytes, chance: random.Random) -> bytes:
    """Another value, or none, at some place of the JSON, where it still is JSON."""
    try:
        message = json.loads(raw)
    except ValueError:
        return raw
    holder = message
    while isinstance(holder, dict) and holder:
        name = chance.choice(sorted(holder))
        if not isinstance(holder[name], dict) or chance.random() < 0.3:
            if chance.random() < 0.3:
                del holder[name]
            else:
                holder[name] = chance.choice(_VALUES)
            break
        holder = holder[name]
    return _encode(message)


_VALUES: list[Any] = [None, True, 0, -1, 2**63, 1e308, "", "x", "\x00", '"', "é", [], [[]], {}, {"a": 1}, "9" * 400]
_SPOILERS: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _insert, _truncate, _repeat, _change, _change]
