"""What the demo sends where the Compose file names no request: a sample of the default contract."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devctl.demo.answer import Answer

if TYPE_CHECKING:
    from devctl.broker.port import Broker, Message
    from devctl.contracts.catalog import Catalog


@dataclass(frozen=True)
class Sample:
    """One valid message."""

    message: Message

    @classmethod
    def of(cls, catalog: Catalog) -> Sample:
        """Of the default contract, as `devctl send-task` makes it."""
        from devctl.contracts.request import Request, messages

        (message,) = messages(catalog, Request())
        return cls(message)

    def __str__(self) -> str:
        return f"{self.message.task} → {self.message.queue}"

    def document(self) -> dict[str, Any]:
        """What the JSON says of it."""
        return {"task": self.message.task, "queue": self.message.queue}

    def send(self, broker: Broker) -> Answer:
        """Publish it; DevctlError where the broker does not take it."""
        sent_at, start = time.time(), time.perf_counter()
        broker.publish([self.message])
        seconds = time.perf_counter() - start
        correlation_id = str(self.message.headers["x_correlation_id"])
        return Answer({"task_id": self.message.task_id}, correlation_id, sent_at, seconds)
