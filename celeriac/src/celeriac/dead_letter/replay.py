"""Replaying dead letters: the same piece of work, as a new message at the end of its queue."""

import base64
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from celeriac.broker import keys
from celeriac.broker.lists import list_of
from celeriac.broker.scripts import Script
from celeriac.dead_letter.letters import Letter, Reason, key_and_id
from celeriac.events import transition
from celeriac.life.pack import Replay, facts_of, packed

if TYPE_CHECKING:
    import redis

REPLAYS = "replays"  # the header that counts them
MOST_REPLAYS = 2**31  # what is beyond is nobody's count, and may have more digits than Python writes

_REPLAY = Script("dead_letter/replay")


class Unreadable(ValueError):
    """This is no task message; the text says why, and shows nothing of its content."""


@dataclass(frozen=True)
class Opened:
    """A message, read: Celery's protocol 2 in JSON."""

    frame: dict[str, Any]
    task: str
    task_id: str
    args: list[Any]
    kwargs: dict[str, Any]

    @property
    def headers(self) -> dict[str, Any]:
        headers: dict[str, Any] = self.frame["headers"]
        return headers

    @property
    def properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.frame["properties"]
        return properties


def opened(raw: bytes) -> Opened:
    """Read a message as its worker would."""
    frame = _json(raw, "the message")
    headers, properties = (frame.get(part) if isinstance(frame, dict) else None for part in ("headers", "properties"))
    if not (isinstance(headers, dict) and isinstance(properties, dict)):
        raise Unreadable("the message has no headers or no properties")
    task, task_id = headers.get("task"), headers.get("id")
    if not (isinstance(task, str) and task and isinstance(task_id, str) and task_id):
        raise Unreadable("its headers name no task or no id: not Celery's message protocol 2")
    if frame.get("content-type") != "application/json":
        raise Unreadable("its body is not JSON by its content-type")
    body = frame.get("body")
    if not isinstance(body, str):
        raise Unreadable("it has no body")
    content = _json(_bytes(body, properties.get("body_encoding")), "its body")
    match content:
        case [list(args), dict(kwargs), _]:
            return Opened(frame, task, task_id, args, kwargs)
    raise Unreadable("its body is not arguments, keywords and options")


def renewed(message: Opened, now: float) -> bytes:
    """The same task with the same id and a new delivery tag, as if it had never run: no retries, due at once. `now`:
    unix seconds. Returns the message as kombu writes it."""
    headers = {name: value for name, value in message.headers.items() if name not in ("redelivered", "due_at")}
    replays = headers.get(REPLAYS)
    headers["retries"] = 0
    headers["eta"] = None
    headers["published_at"] = now
    headers[REPLAYS] = (replays if isinstance(replays, int) and 0 <= replays <= MOST_REPLAYS else 0) + 1
    properties = {name: value for name, value in message.properties.items() if name != "delivery_tag"}
    if isinstance(info := properties.get("delivery_info"), dict):
        properties["delivery_info"] = {name: value for name, value in info.items() if name != "redelivered"}
    # The tag comes last in the properties, and these last in the message: a claim finds it there without parsing.
    rest = {name: value for name, value in message.frame.items() if name not in ("headers", "properties")}
    properties["delivery_tag"] = str(uuid4())
    try:
        return json.dumps({**rest, "headers": headers, "properties": properties}).encode()
    except (ValueError, RecursionError):
        raise Unreadable("one of its headers cannot be written again") from None


def priority_of(message: Opened) -> int:
    """As kombu reads it: 0 where it is none."""
    try:
        return int(message.properties["priority"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


def replay(client: "redis.Redis", letter: Letter) -> bool:
    """Put a dead letter back into its queue, in one step. False: it was replayed or dropped before, and nothing
    happens. Raises Unreadable if it cannot be replayed; then it stays a dead letter."""
    if letter.raw is None:
        raise ValueError("a letter of a list has no message: find() it first")
    if letter.reason == Reason.UNDECODABLE:
        raise Unreadable(letter.error or "it is undecodable")
    message = opened(letter.raw)
    stream, stream_id = key_and_id(letter.id)
    tag = message.properties.get("delivery_tag")
    old = tag if isinstance(tag, str) else ""
    list_key, new = list_of(letter.queue, priority_of(message)), renewed(message, time.time())
    facts = facts_of(message.headers)
    record = Replay(
        f"{os.getpid()}@{socket.gethostname()}",
        message.task_id,
        message.task,
        list_key,
        old,
        new[-39:-3].decode(),
        letter.id,
        *(str(facts.get(name, "")) for name in ("root", "parent", "correlation", "traceparent")),
    )
    answer = _REPLAY(
        client,
        [stream, list_key, keys.STARTS],
        [stream_id, new, old.encode(errors="replace"), packed(record)],
    )
    if answer:
        found = record.correlation or record.root or message.task_id
        named: dict[str, Any] = {"task": message.task, "task_id": message.task_id, "correlation_id": found}
        transition("task.replayed", queue=letter.queue, letter=letter.id, **named)
    return bool(answer)


def _json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except Exception:
        raise Unreadable(f"{what} is not JSON") from None


def _bytes(body: str, encoding: Any) -> bytes:
    if encoding != "base64":
        return body.encode(errors="surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise Unreadable("its body is not base64") from None
