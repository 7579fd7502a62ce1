"""Tasks that no worker of their queue knows: what waits for them, and what died of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from celeriac.dead_letter.letters import Reason
from devctl.broker.port import Broker, Consumer, QueueDepth

MOST = 20
"""Messages and dead letters of a queue that are looked at."""


@dataclass(frozen=True)
class Unknown:
    """One task of one queue."""

    task: str
    waiting: int = 0
    """Its messages among the oldest that wait."""
    of_waiting: int = 0
    """How many of these were looked at."""
    dead: int = 0
    """Its dead letters of that reason among the newest."""
    of_dead: int = 0
    """How many of these were looked at."""


def unknown(broker: Broker, depths: Iterable[QueueDepth], consumers: Sequence[Consumer]) -> dict[str, list[Unknown]]:
    """Queue -> the tasks that no worker of it knows. Only a part of each queue is looked at."""
    depths = list(depths)
    consumed = {queue for one in consumers for queue in one.queues}
    looked_at = [one.name for one in depths if one.waiting and one.name in consumed]
    waiting = broker.oldest(looked_at, MOST) if looked_at else {}
    found = {}
    for depth in depths:
        letters = list(islice(broker.letters(queue=depth.name, newest_first=True), MOST)) if depth.dead else []
        dead = Counter(one.task or "?" for one in letters if one.reason == Reason.UNKNOWN_TASK)
        tasks = waiting.get(depth.name, [])
        alive = Counter(task for task in tasks if _strange(consumers, depth.name, task))
        names = dict.fromkeys([*alive, *dead])
        if names:
            found[depth.name] = [Unknown(one, alive[one], len(tasks), dead[one], len(letters)) for one in names]
    return found


def ignorant(consumers: Iterable[Consumer], queue: str, task: str) -> list[Consumer]:
    """The workers that consume this queue, have told what they know, and do not know this task."""
    return [one for one in consumers if queue in one.queues and one.tasks and task not in one.tasks]


def _strange(consumers: Sequence[Consumer], queue: str, task: str) -> bool:
    """Celery's own tasks are known everywhere, and not told."""
    takers = [one for one in consumers if queue in one.queues]
    return bool(task) and not task.startswith("celery.") and len(ignorant(takers, queue, task)) == len(takers)
