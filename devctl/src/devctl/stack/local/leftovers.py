"""What a supervisor that was killed, or a machine that was rebooted, left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devctl.stack.local import program
from devctl.stack.local.journal import Journal, Life
from devctl.stack.local.place import Place
from devctl.stack.local.processes import Known
from devctl.stack.local.supervisor import Supervisor


@dataclass(frozen=True)
class Leftovers:
    """The replicas of a stack that nobody supervises any more."""

    alive: tuple[tuple[str, int], ...]
    """Replica and pid of those that live on: they hold ports, and nobody restarts or stops them."""
    gone: tuple[str, ...]


def look(state: Path) -> Leftovers | None:
    """Return what is left of the stack with this state; None where it is supervised, or was stopped."""
    place = Place.of(state)
    programs = program.saved(place)
    if not programs or Supervisor(place).answers():
        return None
    lives = Journal(place.journal).lives()
    alive = tuple((name, pid) for name in programs if (pid := _living(lives.get(name))))
    return Leftovers(alive, tuple(name for name in programs if name not in dict(alive)))


def _living(life: Life | None) -> int | None:
    if life is None or life.pid is None or life.started_at is None:
        return None
    return life.pid if Known(life.pid, life.started_at).alive() else None
