"""What a row has in its hands: the copy's containers, its ledger, its broker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devctl.broker.port import Message
from devctl.chaos.theirs.hands import Hands
from devctl.chaos.theirs.ledger import Ledger, Worker
from devctl.chaos.theirs.remains import Look
from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.measurement.serving import Call
from devctl.stack.port import Replica, Runtime

LOOK_SECONDS = 0.1
READY_SECONDS, UNDER_WAY_SECONDS = 40.0, 20.0
RECONNECT_SECONDS = 8.0
"""Celery tries again after 2, 4, 6 seconds."""
LEAST_SECONDS = 0.002  # a task of no time takes a worker so long
BACKLOG_SECONDS, MOST_TASKS, LEAST_ROUNDS = 5.0, 3_000, 6


@dataclass
class Field:
    """One copy, running."""

    runtime: Runtime
    service: str
    broker_service: str
    call: Call
    publish: Callable[[Sequence[Message]], object]
    look: Look
    hands: Hands
    ledger: Ledger
    clock: Clock
    doing: Callable[[str], None]
    """Tell people what is being done."""
    each: float = 0.05
    """Seconds that a task takes, as the first ones did."""
    quiet_seconds: float = 4.0
    """So long nothing may move before a row is over; more than a few of the tasks take."""
    ids: list[str] = field(default_factory=list)
    """Of this row."""
    note: str = ""
    patience: float = 0.0
    """Of this row, beside the usual quiet."""

    @property
    def worker(self) -> Worker:
        """The one that was ready last."""
        return self.ledger.workers[-1]

    @property
    def backlog(self) -> int:
        """So many tasks keep one worker busy for some seconds."""
        slots = self.worker.concurrency
        return max(
            LEAST_ROUNDS * slots, min(MOST_TASKS, round(BACKLOG_SECONDS * slots / max(self.each, LEAST_SECONDS)))
        )

    def send(self, count: int) -> None:
        """Publish so many; the row accounts for each of them."""
        new = [str(uuid.uuid4()) for _ in range(count)]
        call = self.call
        self.publish([Message(call.task, call.queue, one, call.args, dict(call.kwargs)) for one in new])
        self.ids += new

    def under_way(self, share: float = 0.15) -> None:
        """Wait until so many of the row's tasks are over and others are being done."""

        def reached() -> bool:
            self.ledger.look()
            lives = self.ledger.of(self.ids).values()
            over = sum(life.over for life in lives)
            return over == len(lives) or (over >= share * len(lives) and any(life.cut for life in lives))

        self.until(reached, UNDER_WAY_SECONDS + len(self.ids) * self.each, "the tasks are under way")

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it; DevctlError where it does not come."""
        end = self.clock.now() + seconds
        while not condition():
            if self.clock.now() > end:
                raise DevctlError(f"{what}: not within {seconds:.0f} s", hint=f"devctl logs {self.service}")
            self.clock.sleep(LOOK_SECONDS)

    def replicas(self, service: str) -> list[Replica]:
        """Those that are there."""
        return sorted((one for one in self.runtime.status() if one.service == service), key=lambda one: one.name)

    def victim(self) -> Replica:
        """The worker that is hit."""
        running = [one for one in self.replicas(self.service) if one.state == "running"]
        if not running:
            raise DevctlError(f"{self.service} does not run any more", hint=f"devctl logs {self.service}")
        return running[0]

    def broker(self) -> Replica:
        """The broker's container."""
        return self.replicas(self.broker_service)[0]

    def broker_back(self) -> None:
        """Wait until it answers; what was connected to it tries again, later each time."""

        def answers() -> bool:
            try:
                self.look(())
            except DevctlError:
                return False
            return True

        self.until(answers, READY_SECONDS, f"{self.broker_service} answers again")
        self.patience = RECONNECT_SECONDS

    def again(self, replica: Replica) -> None:
        """Start it again, and wait until a worker in it is ready."""
        since = self.clock.now()
        self.hands.start(replica)
        self.ready(since)

    def ready(self, since: float, workers: int = 1) -> None:
        """Wait until so many workers said after that time that they are ready."""

        def there() -> bool:
            self.ledger.look()
            return sum(one.at >= since for one in self.ledger.workers) >= workers

        self.until(there, READY_SECONDS, f"{self.service} is ready")
