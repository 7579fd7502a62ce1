"""What one part of a scenario showed: facts from the clients, the ledger and the broker. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from devctl.chaos.curve import Curve

Fate = Literal["done", "dead", "either"]
"""What shall become of a message."""


@dataclass(frozen=True)
class Sent:
    """A piece of work as its client saw it: one task id, or one Idempotency-Key. Unix seconds."""

    key: str
    due: float
    """When the schedule wanted it to be sent."""
    accepted_at: float | None
    """None: nobody ever confirmed it; it may be queued all the same."""
    ids: tuple[str, ...] = ()
    """The task ids that the confirmations named; more than one is two pieces of work for one key."""
    slowest_seconds: float = 0.0
    """The slowest of its attempts."""
    answers: tuple[str, ...] = ()
    """One for each attempt: "202", "503", "no answer", "published", "refused: …"."""


@dataclass(frozen=True)
class Run:
    """All that the ledger knows of one task: (unix seconds of the ledger, who)."""

    starts: tuple[tuple[float, str], ...] = ()
    finishes: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Strike:
    """One fault, from its beginning to its end. Unix seconds."""

    began: float
    ended: float


@dataclass(frozen=True)
class Check:
    """Something else that the row promises, looked at while it ran."""

    what: str
    held: bool


@dataclass(frozen=True)
class Soak:
    """What a soak shows beside what every row shows."""

    kills: int
    redis_kills: int
    bodies: int
    """How often a body began."""
    rate: float
    """Tasks per second, from the first to the last."""
    pause_seconds: float
    """The longest time in which none was done."""
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Tally:
    """What became of tasks that are too many to be told of one by one."""

    accepted: int = 0
    done: int = 0
    """Of these, as the next three."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """Reason -> how many."""
    waiting: int = 0
    lost: int = 0
    doubled: int = 0
    """Tasks with more than one effect, or that had one and were not published."""
    repeated: int = 0
    """Tasks whose body began more than once."""
    unconfirmed: int = 0
    refused: int = 0
    """Attempts to publish that were not confirmed."""


@dataclass(frozen=True)
class Observation:
    """The facts of one part."""

    seconds: float
    fired: int
    """How often the fault demonstrably happened."""
    sent: tuple[Sent, ...]
    """All that was sent to be accepted, through HTTP and through the broker."""
    fates: Mapping[str, Fate] = field(default_factory=dict)
    """Key -> what shall become of it, where that is not "done"."""
    done: frozenset[str] = frozenset()
    """Ids whose outcome was committed."""
    dead: Mapping[str, str] = field(default_factory=dict)
    """Id -> the reason of its dead letter."""
    waiting: frozenset[str] = frozenset()
    """Ids that were still queued, claimed or not yet due when patience ended."""
    effects: Mapping[str, int] = field(default_factory=dict)
    """Id -> how often its effect was applied."""
    runs: Mapping[str, Run] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()
    """Ids that are meant to fail once: their second start is none too many."""
    followups: frozenset[str] = frozenset()
    """Ids of done tasks whose follow-up message should be done, too, and is neither that nor waiting nor dead."""
    strays: int = 0
    """Orders that exist beyond one for each key that was sent."""
    drained_seconds: float | None = None
    """From the last message to an empty broker; None: it never was."""
    patience: str = ""
    """Then, what was waited for: "60 s", or "25 s without any progress"."""
    strikes: tuple[Strike, ...] = ()
    backlog: bool = False
    """There was more to do than could be done at once: that a task waited says nothing about the fault."""
    checks: tuple[Check, ...] = ()
    tally: Tally = Tally()
    """Of what is in no other field here."""
    soak: Soak | None = None
    interrupted: bool = False
    """Somebody pressed Ctrl-C: what is not done is not late."""
