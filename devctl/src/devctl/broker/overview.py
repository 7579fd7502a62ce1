"""Queues and who consumes them, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from devctl.broker.port import Consumer, QueueDepth
from devctl.broker.unknown import Unknown


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
    services: tuple[str, ...] = ()
    """The service of each node; the node itself where nothing tells its service."""
    paused: bool = False
    """No worker takes from it until it is resumed."""
    unknown: tuple[Unknown, ...] = ()
    """Tasks that are sent here and that no worker here knows."""

    @property
    def consumers(self) -> dict[str, int]:
        """Service -> how many of its workers consume."""
        return dict(Counter(self.services))

    @property
    def silent(self) -> int:
        """Consumers that the broker counts and that did not answer."""
        return max(0, (self.depth.consumers or 0) - len(self.nodes))

    @property
    def neglected(self) -> bool:
        """Something waits, or is meant to be sent, and nobody consumes."""
        wanted = self.depth.waiting + self.depth.delayed > 0 or bool(self.contracts)
        return wanted and not self.nodes and not self.depth.consumers


def overview(
    depths: Sequence[QueueDepth],
    consumers: Iterable[Consumer],
    contracts: Iterable[tuple[str, str]] = (),
    owners: Iterable[tuple[str, str]] = (),
    running: Collection[str] = (),
    service_of: Callable[[str], str] = lambda node: node.partition("@")[0],
    paused: Collection[str] = (),
    unknown: Mapping[str, Iterable[Unknown]] | None = None,
) -> list[QueueState]:
    """Join them; `contracts` are (task, queue), `owners` (queue, service), `running` the services that are up."""
    workers, tasks, owner = list(consumers), list(contracts), dict(owners)
    states = []
    for depth in depths:
        nodes = tuple(one.node for one in workers if depth.name in one.queues)
        states.append(
            QueueState(
                depth,
                nodes,
                tuple(task for task, queue in tasks if queue == depth.name),
                owner.get(depth.name, ""),
                owner.get(depth.name) in running,
                tuple(service_of(node) or node for node in nodes),
                depth.name in paused,
                tuple((unknown or {}).get(depth.name, ())),
            )
        )
    return states
