"""One row from its backlog to its outcome."""

from __future__ import annotations

from devctl.chaos.theirs.field import LOOK_SECONDS, Field
from devctl.chaos.theirs.row import Outcome, count, unfinished
from devctl.chaos.theirs.rows import Row

LONGEST_SECONDS = 60.0
"""After its fault, a row may take no longer."""


def play(row: Row, field: Field) -> Outcome:
    """Publish, let the workers begin, do it, wait until nothing moves any more, and look what became of each task."""
    field.ids, field.note, field.patience = [], "", 0.0
    if why_not := row.fits(field.worker):
        return Outcome(row.name, row.title, why_not)
    field.doing("tasks are published")
    field.send(field.backlog)
    field.under_way()
    if not unfinished(field.ledger.of(field.ids)):
        field.note = "all tasks were done before it: too quick a task to tell"
    field.doing(row.title)
    row.fault(field)
    ended = field.clock.now()
    field.doing("what is left is waited for")
    settle(field)
    lives = field.ledger.of(field.ids)
    last = max((life.last for life in lives.values()), default=ended)
    return count(row.name, row.title, lives, field.look(unfinished(lives)), max(0.0, last - ended), field.note)


def settle(field: Field) -> None:
    """Wait until each task is over, or until nothing moves any more."""
    begun = moved = field.clock.now()
    revived = False
    while field.clock.now() - begun < LONGEST_SECONDS:
        if field.ledger.look():
            moved = field.clock.now()
        if not unfinished(field.ledger.of(field.ids)):
            return
        if field.clock.now() - moved > field.quiet_seconds + field.patience:
            ended = [one for one in field.replicas(field.service) if one.state == "exited"]
            if not ended or revived:
                return
            field.note = f"the worker ended by itself, exit code {ended[0].exit_code}, and was started again"
            revived = True
            field.again(ended[0])
            moved = field.clock.now()
        field.clock.sleep(LOOK_SECONDS)
