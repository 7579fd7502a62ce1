"""Workers in simulated time: a backlog is drained as fast as the test says, and nobody waits for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from devctl.bench.meter import Reading
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Consumer, Execution, Message, QueueDepth
from devctl.clock import FakeClock
from devctl.stack.fake import FakeRuntime
from devctl.stack.model import HealthCheck, Service, Stack
from devctl.stack.port import Replica

TASK = "tasks.bench"


def shop(workers: int = 1) -> Stack:
    check = HealthCheck(("CMD", "true"))
    services = [
        Service("redis", healthcheck=check),
        Service(
            "worker",
            healthcheck=check,
            depends_on={"redis": "service_healthy"},
            restart="unless-stopped",
            replicas=workers,
            environment={
                "WORKER_POOL": "prefork",
                "WORKER_CONCURRENCY": "1",
                "WORKER_MOUNT": "celeriac.workbench",
            },
        ),
        Service("service1", healthcheck=check, depends_on={"redis": "service_healthy"}),
    ]
    return Stack("shop", {one.name: one for one in services}, "redis", ("worker",), {"work": "worker"}, "shop")


@dataclass
class SimulatedBroker:
    """A broker whose workers take a fixed time per task; what goes wrong is said per run, by its ending."""

    runtime: FakeRuntime
    clock: FakeClock
    seconds_per_task: float = 0.01
    slower_node: str = ""
    """This one takes four times as long."""
    lost: dict[str, set[int]] = field(default_factory=dict)
    """Ending of a run's name -> numbers of messages that vanish."""
    doubled: dict[str, set[int]] = field(default_factory=dict)
    mounted: bool = True
    """The workers have what measures them."""
    other: list[QueueDepth] = field(default_factory=list)
    url: str = "redis://simulated"
    most_at_once: int = 10**9
    """More workers than this share what so many can do: the number of CPUs."""
    published: dict[str, list[Message]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    _ledgers: dict[str, list[Execution]] = field(default_factory=dict)

    def nodes(self) -> list[str]:
        return [f"{r.service}@host-{r.name}" for r in self.runtime.status() if r.service == "worker"]

    def info(self):  # type: ignore[no-untyped-def]
        return MemoryBroker().info()

    def publish(self, messages: Sequence[Message]) -> None:
        self.published.setdefault(messages[0].queue, []).extend(messages)
        self.clock.sleep(len(messages) / 10_000)

    def consume(self, queue: str, nodes: Sequence[str]) -> None:
        self.calls.append(f"consume {queue} by {len(nodes)}")
        run = queue.removeprefix("bench.")
        lost = next((which for end, which in self.lost.items() if run.endswith(end)), set())
        doubled = next((which for end, which in self.doubled.items() if run.endswith(end)), set())
        work = [m for n, m in enumerate(self.published[queue]) for _ in range(1 + (n in doubled)) if n not in lost]
        slow = max(1.0, len(nodes) / self.most_at_once)
        free = dict.fromkeys(nodes, self.clock.now())
        entries = []
        for message in work:
            node = min(nodes, key=lambda one: free[one])
            started = free[node]
            free[node] += self.seconds_per_task * slow * (4 if node == self.slower_node else 1)
            entries.append(Execution(message.task_id, started, free[node], node))
        self._ledgers[run] = sorted(entries, key=lambda one: one.finished)

    def stop_consuming(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        self.calls.append(f"leave {queue}")

    def executed(self, run: str) -> int:
        return bisect_right(self._ledgers.get(run, []), self.clock.now(), key=lambda one: one.finished)

    def ledger(self, run: str) -> list[Execution]:
        return self._ledgers.get(run, [])[: self.executed(run)]

    def queues(self, names: Sequence[str]) -> list[QueueDepth]:
        def waiting(queue: str) -> int:
            all_ = self._ledgers.get(queue.removeprefix("bench."), [])
            return sum(one.finished > self.clock.now() for one in all_)

        return [QueueDepth(name, waiting(name), 0) for name in names] + self.other

    def consumers(self, *, expected: int | None = None, timeout: float = 1.0) -> list[Consumer]:
        tasks = (*([TASK] if self.mounted else []), "tasks.process_order")
        return [Consumer(node, ("orders",), tasks) for node in self.nodes()]

    def results(self, task_ids: Sequence[str]):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        self.calls.append(f"forget {run}")
        for queue in queues:
            self.published.pop(queue, None)
        self._ledgers.pop(run, None)


@dataclass
class SimulatedMeter:
    """As if the workers were always busy: one CPU each, up to two; the broker a third of one."""

    clock: FakeClock
    quotas: dict[str, float] = field(default_factory=dict)
    """Service -> CPUs that each of its containers may use."""

    def quota(self, replicas: Iterable[Replica]) -> float | None:
        return next((self.quotas.get(one.service) for one in replicas), None)

    def read(self, workers, broker) -> Reading:  # type: ignore[no-untyped-def]
        now = self.clock.now()
        return Reading(now, now * min(2, len(list(workers))), now * 0.3, now * 1.9)
