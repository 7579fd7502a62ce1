"""One row: what is done to the stack, and what became of the tasks that were under way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from devctl.chaos.theirs.ledger import Life
from devctl.chaos.theirs.remains import Remains


@dataclass(frozen=True)
class Outcome:
    """What became of a row's tasks, counted by id."""

    name: str
    title: str
    why_not: str = ""
    """Why it was not played; then nothing below means anything."""
    published: int = 0
    done: int = 0
    failed: int = 0
    died: int = 0
    """Failed by the death of their process, and nobody runs them again."""
    queued: int = 0
    """Still in their queue when nothing moved any more."""
    held: int = 0
    """Claimed by a worker that is gone: they come back when the broker thinks that it has waited long enough."""
    dead: int = 0
    lost: int = 0
    """Not done, and nowhere."""
    twice: int = 0
    """Their body began again, without a retry."""
    cut: int = 0
    """Their body began and was cut off."""
    seconds: float = 0.0
    """From the end of the fault to the last end of a task."""
    note: str = ""
    """What else was seen."""

    @property
    def good(self) -> bool:
        """Whether each task is done, has failed by itself, or is a dead letter."""
        return not (self.lost or self.died or self.held or self.queued)


def count(name: str, title: str, lives: Mapping[str, Life], remains: Remains, seconds: float, note: str) -> Outcome:
    """Give each id one fate: what is done is done, wherever else its message is."""
    open_ = {one for one, life in lives.items() if not life.over}
    gone = open_ - remains.all
    return Outcome(
        name,
        title,
        published=len(lives),
        done=sum(life.succeeded for life in lives.values()),
        failed=sum(life.over and not life.succeeded and not life.died for life in lives.values()),
        died=sum(life.died for life in lives.values()),
        queued=len(open_ & remains.queued),
        held=len(open_ & remains.claimed - remains.queued),
        dead=len(open_ & remains.dead - remains.claimed - remains.queued),
        lost=len(gone),
        twice=sum(life.twice for life in lives.values()),
        cut=sum(life.cut for life in lives.values()),
        seconds=seconds,
        note=note,
    )


def unfinished(lives: Mapping[str, Life]) -> Collection[str]:
    """The ids that have not come to an end."""
    return [one for one, life in lives.items() if not life.over]
