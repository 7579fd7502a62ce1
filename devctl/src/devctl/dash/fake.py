"""A stack in memory for tests of the dashboard: a broker, two workers, a web service, and a clock that a test moves."""

from __future__ import annotations

from typing import Any

from celeriac.dead_letter.letters import Letter
from celeriac.message.frame import frame
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Message
from devctl.clock import FakeClock
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.dash.sources import Sources
from devctl.errors import DevctlError
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import HealthCheck, Port, Service, Stack

TASK, QUEUE = "images.resize", "images"
_CHECK = HealthCheck(("CMD", "true"))
SERVICES = {
    "redis": Service("redis", image="redis:8", ports=(Port(6379, 6379),), healthcheck=_CHECK),
    "worker": Service("worker", depends_on={"redis": "service_healthy"}, replicas=2, healthcheck=_CHECK),
    "web": Service("web", ports=(Port(8001, 8001),), healthcheck=_CHECK),
}


class FakeStack:
    """`runtime` and `broker` are the shipped fakes; `away` takes the broker away."""

    def __init__(self) -> None:
        """Everything runs, nothing waits."""
        self.clock = FakeClock()
        self.stack = Stack("shop", SERVICES, "redis", ("worker",), {}, "")
        self.runtime = FakeRuntime(self.stack, dict.fromkeys(SERVICES, Behaviour(healthy_after=0.5)), self.clock)
        self.runtime.start("redis", "worker", "web")
        self.broker = MemoryBroker(url="redis://:secret@127.0.0.1:6379/0", eager=False, clock=self.clock.now)
        for node in ("worker@one", "worker@two"):
            self.broker.add_worker(node, queues=[QUEUE], bodies={TASK: lambda n: n})
        self.connections = 0
        self.noted: list[str] = []
        self._buried: list[str] = []
        self.sources = Sources(
            self.stack,
            self.runtime,
            self._connect,
            lambda: Catalog([TaskContract(TASK, QUEUE, int)]),
            lambda: [QUEUE],
            lambda: {QUEUE: "worker"},
            lambda: {"redis": "redis", "worker": "worker", "web": "web"},
            clock=self.clock.now,
            note=lambda event, about: self.noted.append(event),
        )

    def _connect(self) -> MemoryBroker:
        self.connections += 1
        if self.broker.away:
            raise DevctlError(self.broker.away, hint="devctl up redis")
        return self.broker

    def send(self, *payloads: Any) -> None:
        """Messages, now."""
        known = len(self.broker.published)
        self.broker.publish([Message(TASK, QUEUE, f"id-{known + n}", (one,)) for n, one in enumerate(payloads)])

    def bury(self, task_id: str, payload: Any = 1, error: str = "ValueError: no such image") -> str:
        """A dead letter of now; returns its id."""
        raw = frame(TASK, QUEUE, [payload], task_id=task_id)
        letter_id = f"{QUEUE}/{round(self.clock.now() * 1_000)}-{len(self._buried)}"
        letter = Letter(letter_id, QUEUE, "permanent", self.clock.now(), len(raw), error, TASK, task_id, raw=raw)
        self.broker.bury(letter)
        self._buried.append(letter_id)
        return letter_id
