"""Questions and orders to running Celery workers over AMQP: Celery's remote control."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from kombu import Connection, Exchange, Producer, Queue

from devctl.broker.layout import MAILBOX, REPLIES

QUIET_SECONDS = 0.5  # RabbitMQ does not say who listens; after an answer, the others have this long


class AmqpMailbox:
    """Speaks to the workers of one virtual host."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
        most = min((n for n in (expected, len(nodes) if nodes is not None else None) if n is not None), default=None)
        tickets = {str(uuid.uuid4()): method for method in methods}
        address = str(uuid.uuid4())
        channel: Any = self._connection.channel()
        try:
            exchange = Exchange(MAILBOX, "fanout", durable=False, delivery_mode="transient")
            replies = Exchange(REPLIES, "direct", durable=False, delivery_mode="transient")
            inbox = Queue(f"{address}.{REPLIES}", replies, address, durable=False, exclusive=True, auto_delete=True)
            inbox(channel).declare()

            def take(message: Any) -> None:
                ticket = message.headers.get("ticket", "")
                (node, answer), *_ = json.loads(message.body).items()
                if ticket in tickets:
                    answers.setdefault(node, {})[tickets[ticket]] = answer

            # Before anything is asked: py-amqp rejects what arrives while nobody consumes yet.
            channel.basic_consume(inbox.name, no_ack=True, callback=lambda raw: take(channel.message_to_python(raw)))
            producer = Producer(channel, serializer="json")
            for ticket, method in tickets.items():
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
                producer.publish(body, exchange=exchange, routing_key="", declare=[exchange], headers=headers)
            while most is None or sum(len(one) == len(methods) for one in answers.values()) < most:
                complete = answers and all(len(one) == len(methods) for one in answers.values())
                left = min(deadline - time.monotonic(), QUIET_SECONDS if complete else timeout)
                if left <= 0:
                    break
                try:
                    self._connection.drain_events(timeout=left)
                except TimeoutError:
                    break
        finally:
            channel.close()
        return answers
