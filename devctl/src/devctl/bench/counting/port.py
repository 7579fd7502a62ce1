"""The port: what became of the tasks of a run, however that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from devctl.broker.port import Execution

Way = Literal["ledger", "events", "results"]


@dataclass(frozen=True)
class Count:
    """What is known of a run's tasks when it is over."""

    executions: Sequence[Execution]
    """Each time that a task was seen to end."""
    failed: frozenset[str] = frozenset()
    """Ids that ended in failure."""
    started_again: frozenset[str] = frozenset()
    """Ids that were seen to start twice, without a retry between."""
    unseen: frozenset[str] = frozenset()
    """Ids that are done, as their result says, but that nobody saw end."""
    unknown: frozenset[str] = frozenset()
    """Ids of which nothing says what became of them: neither done nor lost is proved."""


class Counting(Protocol):
    """One way to know. A run begins, is looked at ten times a second, and is counted."""

    way: Way

    def begin(self, run: str, task_ids: Sequence[str]) -> None:
        """A run begins: none of its tasks was taken yet."""

    def done(self) -> int:
        """How many of its tasks have ended, by what is known now; cheap."""

    def all_done(self) -> bool:
        """Whether each of its tasks has."""

    def running(self) -> bool:
        """Whether one was seen to begin and not to end: it may be in no queue any more, and still run."""

    def count(self) -> Count:
        """What became of them; asked when no worker takes from the run's queue any more."""
