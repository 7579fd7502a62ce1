"""What a fault has in its hands while the load goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGKILL, Signals
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devctl.chaos.api import Api
from devctl.chaos.compose_file import REDIS_PORT
from devctl.chaos.events import Event, ignore
from devctl.chaos.hands import Hands
from devctl.chaos.ledger import Ledger
from devctl.chaos.link import Link
from devctl.chaos.observation import Check, Fate, Sent, Soak, Strike, Tally
from devctl.chaos.publishing import Publisher
from devctl.chaos.scenario import Size
from devctl.chaos.stage import Stage
from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.stack.port import WELL, Replica, Runtime

T = TypeVar("T")
READY_SECONDS = 45.0
"""How long a killed service may take until it works again, on a machine that is busy with just that."""
STOCK_START_SECONDS, FORGIVEN_SECONDS = 4.0, 10.5
_LOOK_SECONDS = 0.05


@dataclass
class Field:
    """One part of a scenario, as its fault sees it."""

    size: Size
    run: str
    stage: Stage
    hands: Hands
    clock: Clock
    ledger: Ledger
    publisher: Publisher
    api: Api | None
    link: Link | None
    doing: Callable[[str], None]
    """Tell people what is being done."""
    bad: Callable[[], set[str]]
    """The ids of the load's bad tasks so far."""
    emit: Callable[[Event], None] = ignore
    fired: int = 0
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """What the fault still has to look at, when everything is over."""
    strikes: list[Strike] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    """What the fault itself sent to be accepted."""
    fates: dict[str, Fate] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Keys that are done by another sign than an effect or a result."""
    dead: dict[str, str] = field(default_factory=dict)
    """Keys that are dead letters without a task id."""
    waiting: set[str] = field(default_factory=set)
    """Keys of messages that are still in the broker."""
    tally: Tally = field(default_factory=Tally)
    soak: Soak | None = None
    interrupted: bool = False
    """Somebody pressed Ctrl-C, and the fault ended for it."""

    @property
    def stock(self) -> bool:
        """Whether it is stock Celery that is put to it."""
        return self.stage.place.stock

    @property
    def runtime(self) -> Runtime:
        """Of this part's stack."""
        return self.stage.runtime

    @property
    def broker_name(self) -> str:
        """The service that is the broker."""
        return self.stage.place.broker

    def pick(self, quick: T, full: T) -> T:
        """One of two, by the size of the run."""
        return quick if self.size == "quick" else full

    def check(self, what: str, held: bool) -> None:
        """Note another promise and whether it was kept."""
        self.checks.append(Check(what, held))

    @contextmanager
    def strike(self, fired: int = 1) -> Iterator[None]:
        """The fault lasts as long as the block; `fired` is counted when it did not fail."""
        began = self.clock.now()
        yield
        self.strikes.append(Strike(began, self.clock.now()))
        self.fired += fired

    def sleep(self, seconds: float) -> None:
        """Let the load go on."""
        self.clock.sleep(seconds)

    def until(self, condition: Callable[[], bool], seconds: float, what: str = "") -> float:
        """Wait for it; returns the seconds. DevctlError where it does not come, if `what` names it."""
        begun = self.clock.now()
        while not condition():
            if self.clock.now() - begun > seconds:
                if what:
                    raise DevctlError(f"{what}: not within {seconds:.0f} s")
                break
            self.clock.sleep(_LOOK_SECONDS)
        return self.clock.now() - begun

    def replicas(self, *services: str) -> list[Replica]:
        """Those of these services that are there."""
        return [one for one in self.runtime.status() if one.service in services]

    def workers(self) -> list[Replica]:
        """The replicas that run the tasks of the load."""
        return self.replicas(*self.stage.worker_services())

    def working(self, service: str) -> list[Replica]:
        """Those that run and, where they can say so, are healthy; stock workers cannot, and get their time.

        A container gets the ten seconds after which its engine forgets that it ever ended: else the next start of it
        comes later and later, up to a minute.
        """
        running = [one for one in self.replicas(service) if one.state == "running"]
        if self.runtime.name == "compose":
            running = [one for one in running if self.clock.now() - (one.started_at or 0.0) > FORGIVEN_SECONDS]
        if self.stock and service in self.stage.worker_services():
            return [one for one in running if self.clock.now() - (one.started_at or 0.0) > STOCK_START_SECONDS]
        return [one for one in running if one.health in (*WELL, "none")]

    def victim(self, service: str, number: int) -> Replica:
        """The next one to be hit: working, and another one each time if there are several."""
        found: list[Replica] = []

        def there() -> bool:
            found[:] = self.working(service)
            wanted = f"{service}-{1 + number % max(1, len(self.replicas(service)))}"
            found[:] = [one for one in found if one.name == wanted] or found[:0]
            return bool(found)

        self.until(there, READY_SECONDS, f"{service} works again")
        return found[0]

    def gone(self, before: Replica) -> bool:
        """Whether this life of a replica has ended."""
        for one in self.replicas(before.service):
            if one.name == before.name and one.state == "running":
                return (one.pid, one.started_at) != (before.pid, before.started_at)
        return True

    def kill(self, victim: Replica, number: Signals = SIGKILL, seconds: float = 10.0) -> bool:
        """Send a signal that ends it, and wait for that; whether it ended."""
        self.hands.signal(victim, number)
        self.until(lambda: self.gone(victim), seconds)
        return self.gone(victim)

    def broker(self) -> redis.Redis:
        """The broker, past any proxy."""
        return self.stage.broker()

    def answers(self) -> bool:
        """Whether the broker answers a PING now."""
        port = self.stage.place.ports[self.broker_name, REDIS_PORT]
        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=port, socket_timeout=0.5, socket_connect_timeout=0.5, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def lives(self) -> dict[str, tuple[int | None, float | None]]:
        """Worker replica -> which life it is in."""
        return {one.name: (one.pid, one.started_at) for one in self.workers() if one.state == "running"}

    @contextmanager
    def workers_live(self) -> Iterator[None]:
        """Check that in this block no worker ended."""
        before = self.lives()
        yield
        self.check("every worker lives through it", before == self.lives())
