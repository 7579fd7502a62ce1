"""Queues and who consumes them, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from devctl.broker.port import Consumer, QueueDepth


@dataclass(frozen=True)
class QueueState:
    """One queue as `devctl queues` shows it."""

    depth: QueueDepth
    nodes: tuple[str, ...]
    contracts: tuple[str, ...] = ()
    """The tasks that go here."""
    owner: str = ""
    """The service that would consume it."""
    owner_runs: bool = False
    """A replica of that service is up, whether its worker answers or not."""

    @property
    def consumers(self) -> dict[str, int]:
        """Service -> how many of its workers consume."""
        return dict(Counter(node.partition("@")[0] for node in self.nodes))

    @property
    def neglected(self) -> bool:
        """Something waits, or is meant to be sent, and nobody consumes."""
        return not self.nodes and (self.depth.waiting + self.depth.delayed > 0 or bool(self.contracts))


def overview(
    depths: Sequence[QueueDepth],
    consumers: Iterable[Consumer],
    contracts: Iterable[tuple[str, str]] = (),
    owners: Iterable[tuple[str, str]] = (),
    running: Collection[str] = (),
) -> list[QueueState]:
    """Join them; `contracts` are (task, queue), `owners` (queue, service), `running` the services that are up."""
    workers, tasks, owner = list(consumers), list(contracts), dict(owners)
    return [
        QueueState(
            depth,
            tuple(one.node for one in workers if depth.name in one.queues),
            tuple(task for task, queue in tasks if queue == depth.name),
            owner.get(depth.name, ""),
            owner.get(depth.name) in running,
        )
        for depth in depths
    ]
