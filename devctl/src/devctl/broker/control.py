"""Questions and orders to running Celery workers: Celery's remote control, with two things that its client lacks.

Redis says how many workers heard a broadcast, so nobody waits for answers that cannot come; and no call outlives its
time, whatever the server does.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis

from devctl.broker.layout import BINDINGS, MAILBOX, REPLIES, Layout


class Control:
    """Speaks to the workers of one Redis database."""

    def __init__(self, client: redis.Redis, layout: Layout = Layout()) -> None:  # noqa: B008  # frozen
        self._client, self._layout = client, layout
        self._topic = layout.topic(client.connection_pool.connection_kwargs.get("db") or 0)

    def ask(
        self,
        methods: Sequence[str],
        *,
        arguments: Mapping[str, Any] | None = None,
        nodes: Sequence[str] | None = None,
        expected: int | None = None,
        timeout: float,
    ) -> dict[str, dict[str, Any]]:
        """Node -> method -> answer, from all who answer in time; returns as soon as everyone has."""
        deadline = time.monotonic() + timeout
        answers: dict[str, dict[str, Any]] = {}
        with self._inbox() as (address, inbox):
            tickets = {str(uuid.uuid4()): method for method in methods}
            frames = [_question(method, arguments, nodes, ticket, address) for ticket, method in tickets.items()]
            pipe = self._client.pipeline(transaction=False)
            for frame in frames:
                pipe.publish(self._topic, frame)
            # Others may listen in (a monitor), so this is how many can answer, not how many will.
            listeners = max(pipe.execute())
            waiting = min(n for n in (listeners, expected, len(nodes) if nodes is not None else None) if n is not None)
            while sum(len(one) == len(methods) for one in answers.values()) < waiting:
                left = deadline - time.monotonic()
                if left <= 0 or (reply := self._receive(inbox, left)) is None:
                    break
                ticket, node, answer = reply
                if ticket in tickets:
                    answers.setdefault(node, {})[tickets[ticket]] = answer
        return answers

    @contextmanager
    def _inbox(self) -> Iterator[tuple[str, str]]:
        """A place for the answers, gone afterwards."""
        address = str(uuid.uuid4())
        inbox = f"{address}.{REPLIES}"
        layout = self._layout
        table, member = layout.key(f"{BINDINGS}{REPLIES}"), layout.separator.join([address, "", inbox])
        self._client.sadd(table, member)
        try:
            yield address, layout.key(inbox)
        finally:
            self._client.srem(table, member)
            self._client.delete(layout.key(inbox))

    def _receive(self, inbox: str, seconds: float) -> tuple[str, str, Any] | None:
        # Short enough for the socket's own time-out; 0 would mean "for ever".
        popped = self._client.brpop([inbox], timeout=max(0.01, min(seconds, 1.0)))
        if popped is None:
            return ("", "", None) if seconds > 1.0 else None
        message = json.loads(cast("list[bytes]", popped)[1])
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        (node, answer), *_ = json.loads(body).items()
        return message["headers"].get("ticket", ""), node, answer


def _question(
    method: str, arguments: Mapping[str, Any] | None, nodes: Sequence[str] | None, ticket: str, address: str
) -> bytes:
    body = {
        "method": method,
        "arguments": dict(arguments or {}),
        "destination": list(nodes) if nodes is not None else None,
        "pattern": None,
        "matcher": None,
        "ticket": ticket,
        "reply_to": {"exchange": REPLIES, "routing_key": address},
    }
    headers = {"clock": 1, "expires": 0}
    return _envelope(body, headers, {}, exchange=MAILBOX, routing_key="")


def _envelope(
    body: Any, headers: dict[str, Any], properties: dict[str, Any], *, exchange: str, routing_key: str
) -> bytes:
    """kombu's virtual message: the body in base64, and all around it as JSON."""
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                **properties,
                "delivery_mode": 2,
                "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    ).encode()
