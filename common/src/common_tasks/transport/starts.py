"""How often a message may be started, and when it starts alone.

A worker that dies proves nothing against each of the messages that it ran: one of them was at fault, the others stood
beside it. So a death counts for all of them, but it condemns only a message that ran alone, or for which the worker was
ended. What came back starts beside others as long as one more death could not be its last; then it starts alone."""

from typing import NamedTuple

PROVEN = 1_000_000  # added to the count in Redis while a message runs alone, or once its worker was ended for it
ALONE_SECONDS = 5.0  # doubled each time that its worker died later than this, when others ran beside it again
MOST_DOUBLINGS = 10


class Start(NamedTuple):
    """The next start of a message that came back."""

    counted: int  # starts before this one
    poison: bool  # it is not to be started any more
    alone_seconds: float  # how long nobody else may start; 0: it runs beside others
    stored: int  # what stands in Redis

    def by(self, *, alone: bool) -> int:
        """What start.lua is to add: this start, and whether the message runs alone."""
        return 1 + (PROVEN if alone else 0) - (self.stored - self.stored % PROVEN)


def next_start(stored: int, max_starts: int) -> Start:
    """`stored`: starts counted in Redis. The first one was not: it would cost each message a round trip."""
    counted = stored % PROVEN + 1
    poison = stored >= PROVEN and counted >= max_starts
    over = counted - max(1, max_starts - 1)
    seconds = 0.0 if over < 0 else ALONE_SECONDS * 2.0 ** min(over, MOST_DOUBLINGS)
    return Start(counted, poison, seconds, stored)
