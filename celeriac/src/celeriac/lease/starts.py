"""How often a message may be started, and when it starts alone.

When a worker dies, nobody knows which of its messages was at fault. So the next start of each of them counts, but none
of them becomes poison for it. A message becomes poison only if it ran alone when its worker died, or if the worker was
ended because of it (a time limit). So the last start that a message may have is one alone; all starts before run beside
others."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from celeriac.lease.leases import Leases

PROVEN = 1_000_000  # added to the count in Redis while a message runs alone, or once its worker was ended for it
ALONE_SECONDS = 5.0  # then the others start again. Doubled if its worker died later than that, which proves nothing
MOST_DOUBLINGS = 10


class Start(NamedTuple):
    """The next start of a message that came back."""

    counted: int  # starts before this one
    poison: bool  # it is not to be started any more
    alone_seconds: float  # how long nobody else may start; 0: it runs beside others
    stored: int  # the number in Redis

    def by(self, *, alone: bool) -> int:
        """What start.lua adds to the stored number: this start; and PROVEN, if the message runs alone."""
        return 1 + (PROVEN if alone else 0) - (self.stored - self.stored % PROVEN)


def next_start(stored: int, max_starts: int) -> Start:
    """`stored`: the number in Redis. It does not hold the first start: to count that would cost each message a round
    trip."""
    counted = stored % PROVEN + 1
    poison = stored >= PROVEN and counted >= max_starts
    over = counted - max(1, max_starts - 1)
    seconds = 0.0 if over < 0 else ALONE_SECONDS * 2.0 ** min(over, MOST_DOUBLINGS)
    return Start(counted, poison, seconds, stored)


class Starts:
    """The starts of the messages that this worker holds and that came back.

    The consumer's thread puts in what a claim tells; the thread that starts or ends a message takes it out. They never
    work on the same tag, so `stored` needs no lock."""

    def __init__(self, leases: Leases, commit_all: Callable[[float], Any], max_starts: int) -> None:
        """`commit_all(seconds)` commits what is finished."""
        self._leases, self._commit_all, self.max_starts = leases, commit_all, max_starts
        self.stored: dict[str, int] = {}  # tag -> the number in Redis

    def learn(self, told: Mapping[str, int]) -> None:
        """Keep what a claim tells, and forget messages that were given back without a start."""
        for tag in [one for one in self.stored if one not in self._leases.held]:
            self.stored.pop(tag, None)
        self.stored.update(told)

    def next(self, tag: str) -> Start | None:
        """The next start of a message that came back; None for all other messages."""
        stored = self.stored.get(tag)
        return None if stored is None else next_start(stored, self.max_starts)

    def count(self, tag: str, start: Start, *, alone: bool) -> bool:
        """Count a start. All finished outcomes are committed first: this message may end the process. False: the
        message is not ours any more."""
        self._commit_all(1.0)
        counted, _ = self._leases.started(tag, by=start.by(alone=alone))
        self.stored.pop(tag, None)
        if counted < 0:
            self._leases.held.pop(tag, None)
        return counted >= 0

    def end(self, tag: str) -> int:
        """This message ends: how many of its starts were counted."""
        return self.stored.pop(tag, 0) % PROVEN
