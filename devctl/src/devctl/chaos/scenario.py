"""What a scenario is: the stack it needs, the load on it, the fault, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

LEASE_SECONDS = 4
"""Of the chaos stacks: with the 60 s of a real one, every recovery would take a minute."""
GRACE_SECONDS = 10
"""How long a service of a chaos stack may take to stop."""
MOST_STARTS = 5
DRAIN_SECONDS = 60.0

TASKS_PER_KILL = 9_400
"""Of a soak: 320 kills are three million tasks."""

Size = Literal["quick", "full"]
Needs = Literal["api", "disk", "faketime"]
"""What not every machine, runtime or kind of stack has."""


@dataclass(frozen=True)
class Setup:
    """A variant of the chaos stack. Parts with equal setups share a stack, one after the other."""

    pool: str = "threads"
    """Of the workers."""
    proxy: bool = False
    """Services and clients reach Redis through the proxy."""
    results: bool = False
    """Results have a Redis of their own."""
    small_disk: bool = False
    """Redis writes to a disk of a few megabytes."""
    memory: bool = False
    """The workers' memory is limited."""
    max_run_seconds: int = 300
    clocks: bool = False
    """Two kinds of workers, two hours ahead and two hours behind."""
    synced: bool = False
    """Redis answers a write when it is on the disk: then a kill loses nothing that was answered."""


@dataclass(frozen=True)
class Load:
    """Open load: messages are due at times that no answer moves."""

    tasks: float = 100.0
    """Through the broker, per second."""
    orders: float = 10.0
    """Through the HTTP API, per second."""
    milliseconds: float = 5.0
    """How long a task waits."""
    backlog: int = 0
    """Tasks that are published at once, before anything else."""
    flaky: int = 50
    """Each so-many-th task fails once, in a way that a retry heals; 0: none."""
    bad: str = ""
    """The kind of the bad tasks."""
    bad_every: int = 0
    bad_most: int = 0
    """No more than so many of them; 0: no limit."""
    notify: int = 1
    """Each so-many-th task publishes a notification as part of its outcome."""
    countdown: float = 0.0
    """Seconds after which a task is due."""


@dataclass(frozen=True)
class Expect:
    """What must hold beside: nothing lost, no effect twice, everything back within DRAIN_SECONDS."""

    fired: int = 1
    """At least."""
    back_seconds: float | None = None
    """At most, from a fault's end to the end of all that it touched."""
    starts: int | None = None
    """Of any task, at most."""
    repeated: int | None = None
    """Tasks that ran more than once, at most."""
    answers: frozenset[str] | None = None
    """HTTP answers that are allowed; None: any."""
    answer_seconds: float | None = None
    """The slowest HTTP answer, at most."""
    publish_seconds: float | None = None
    """The slowest publish through the broker, at most."""
    due_seconds: float | None = None
    """No task starts earlier than so long after it was sent."""


@dataclass(frozen=True)
class Part:
    """A scenario has one or several, each with a stack, a load and a fault of its own."""

    fault: Callable[[Any], None]
    """Gets the field (`devctl.chaos.field.Field`). Its type would lead back to here."""
    load: Load = Load()
    expect: Expect = Expect()
    setup: Setup = Setup()
    tells: bool = False
    """The fault itself tells how far it is."""
    before_seconds: float = 1.0
    """Of load, before the fault."""
    after_seconds: float = 1.5


@dataclass(frozen=True)
class SoakPlan:
    """How long the soak is. It goes on until there were so many kills and so many tasks are done."""

    kills: int = 20
    """Of workers."""
    tasks: int = 0
    """At least; 0: in proportion to the kills."""
    every_seconds: float = 5.0
    """Between two kills, at least."""

    @property
    def least_tasks(self) -> int:
        """How many tasks there are at least."""
        return self.tasks or self.kills * TASKS_PER_KILL


@dataclass(frozen=True)
class Conditions:
    """Under which a scenario is played."""

    size: Size
    stock: bool = False
    """Stock Celery is put to it."""
    containers: bool = False
    """An engine starts again what ended, later each time: few kills there, and with time between them."""
    soak: SoakPlan = SoakPlan()


@dataclass(frozen=True)
class Scenario:
    """One row of the fault matrix."""

    number: int
    """In docs/reliability.md."""
    name: str
    title: Mapping[Size, str]
    parts: Callable[[Conditions], tuple[Part, ...]]
    needs: frozenset[Needs] = frozenset()
    in_quick: bool = False
    in_all: bool = True
