"""What has to be put back after a bench or a demo, as values: whoever is left alive can do it from the list alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from devctl.clock import Clock
from devctl.errors import DevctlError

if TYPE_CHECKING:
    from devctl.broker.port import Broker
    from devctl.stack.port import Runtime

IN_FLIGHT_SECONDS = 10.0
"""How long a forget waits for tasks that workers have claimed: one that ends later writes its ledger again."""


@dataclass(frozen=True)
class Leave:
    """Workers stop consuming a queue."""

    queue: str


@dataclass(frozen=True)
class Quiet:
    """Workers send no more task events."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Forget:
    """A bench run's queues, ledger, results and records leave the broker."""

    run: str
    queues: tuple[str, ...]
    tasks: int = 0
    """How many of the run's tasks leave a result or a record."""


@dataclass(frozen=True)
class Scale:
    """A service gets back the number of replicas that it had."""

    service: str
    replicas: int


@dataclass(frozen=True)
class Stop:
    """Services stop; none named: the whole stack, with everything it owns."""

    services: tuple[str, ...] = ()
    volumes: bool = False


@dataclass(frozen=True)
class EndRun:
    """What runs a service in a terminal ends, where its devctl could not end it."""

    service: str


Step = Leave | Quiet | Forget | Scale | Stop | EndRun
_KINDS: Mapping[str, type[Step]] = {kind.__name__.lower(): kind for kind in (Leave, Quiet, Forget, Scale, Stop, EndRun)}


def to_json(step: Step) -> dict[str, Any]:
    """A step as a JSON object: {"do": "scale", "service": "worker", "replicas": 1}."""
    return {"do": type(step).__name__.lower(), **asdict(step)}


def from_json(document: Mapping[str, Any]) -> Step:
    """The step of a JSON object."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
    return _KINDS[fields.pop("do")](**fields)


@dataclass(frozen=True)
class Undo:
    """Performs steps; each is harmless when there is nothing (any more) to put back."""

    runtime: Callable[[], Runtime]
    broker: Callable[[], Broker]
    clock: Clock
    settle_seconds: float = 0.0
    """How long a stop looks whether something comes up again: an engine may still be busy with a dead devctl's call."""

    def __call__(self, step: Step) -> None:
        """Put one thing back; DevctlError where it cannot be."""
        match step:
            case Leave():
                self.broker().stop_consuming(step.queue)
            case Quiet():
                self.broker().withhold_events(step.nodes)
            case Forget():
                self._forget(step)
            case Scale():
                self.runtime().start(step.service, replicas=step.replicas)
            case Stop():
                self._stop(step)
            case EndRun():
                self.runtime().end_run(step.service)

    def _forget(self, step: Forget) -> None:
        from devctl.broker.runs import task_ids

        broker = self.broker()
        wait_until_unclaimed(broker, step.queues[0], self.clock)
        broker.forget(step.run, step.queues, task_ids(step.run, step.tasks))

    def _stop(self, step: Stop) -> None:
        runtime, services = self.runtime(), list(step.services) or None
        runtime.stop(services, volumes=step.volumes)
        end = self.clock.now() + self.settle_seconds
        while self.clock.now() < end:
            self.clock.sleep(0.25)
            if any(replica.service in step.services or not services for replica in runtime.status()):
                runtime.stop(services, volumes=step.volumes)


def wait_until_unclaimed(broker: Broker, queue: str, clock: Clock, seconds: float = IN_FLIGHT_SECONDS) -> bool:
    """Wait until no worker holds a message of this queue; False where one still does after `seconds`."""
    end = clock.now() + seconds
    while any(depth.claimed for depth in broker.queues([queue]) if depth.name == queue):
        if clock.now() >= end:
            return False
        clock.sleep(0.05)
    clock.sleep(0.1)  # the workers write their ledger every 50 ms
    return True


def backwards(steps: Mapping[int, Step], perform: Callable[[Step], None], note: Callable[[int, str], None]) -> None:
    """Perform numbered steps, the last first, and note each with its problem, or ""; none keeps the others from it."""
    for number, step in reversed(list(steps.items())):
        try:
            perform(step)
        except DevctlError as problem:
            note(number, problem.problem)
        except Exception as bug:  # a bug in one step must not leave the others undone
            note(number, f"{type(bug).__name__}: {bug}")
        else:
            note(number, "")
