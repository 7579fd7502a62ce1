"""Queues and who consumes them, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
) -> list[QueueState]:
    """Join them; `contracts` are (task, queue), `owners` (queue, service)."""
    workers, tasks, owner = list(consumers), list(contracts), dict(owners)
    return [
        QueueState(
            depth,
            tuple(one.node for one in workers if depth.name in one.queues),
            tuple(task for task, queue in tasks if queue == depth.name),
            owner.get(depth.name, ""),
        )
        for depth in depths
    ]
