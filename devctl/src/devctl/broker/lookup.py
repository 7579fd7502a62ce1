"""What is known of a task, by its id or the beginning of it: state, result, and where its message is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devctl.broker.port import Broker, Holder, Note, TaskResult
from devctl.errors import UsageError

if TYPE_CHECKING:
    from celeriac.dead_letter.letters import Letter

SHORTEST = 4
"""Characters of an id: below that its beginning names too many."""
_SHOWN_CANDIDATES = 5


@dataclass(frozen=True)
class Known:
    """One task."""

    task_id: str
    result: TaskResult
    note: Note
    """What the broker remembers of its publishing."""
    letter: Letter | None = None
    """Its message, where that is a dead letter."""
    holder: Holder | None = None
    """The worker that says that it has it."""
    why_no_result: str = ""
    """Why its result cannot be read, whatever becomes of it."""

    @property
    def nothing(self) -> bool:
        """Whether nobody knows of it."""
        return self.result.state == "pending" and not self.note and self.letter is None and self.holder is None


def look_up(broker: Broker, given: str) -> Known:
    """Find a task by its id or the beginning of it; UsageError where that is too short, or names several."""
    start = given.strip().rstrip("….")
    if len(start) < SHORTEST:
        raise UsageError(f"{given!r} is too short for a task's id", hint=f"give {SHORTEST} characters of it, or more")
    letters = [one for one in broker.letters() if (one.task_id or "").startswith(start)]
    ids = sorted({*broker.task_ids(start), *(one.task_id for one in letters if one.task_id)})
    if start in ids:
        ids = [start]
    if len(ids) > 1:
        raise UsageError(
            f"{given} is the beginning of {len(ids)} ids", hint="give more of it", details=ids[:_SHOWN_CANDIDATES]
        )
    task_id = ids[0] if ids else start
    newest = max((one for one in letters if one.task_id == task_id), key=lambda one: one.time, default=None)
    result = broker.results([task_id])[0]
    holder = broker.holder(task_id) if result.state in ("pending", "started", "retrying") else None
    return Known(task_id, result, broker.note(task_id), newest, holder, broker.why_no_results)
