"""What will be measured: the command line turned into values, before anything is started."""

from __future__ import annotations

import math
from dataclasses import dataclass

from devctl.errors import UsageError
from devctl.stack.model import MOST_REPLICAS

KINDS = ("noop", "cpu", "wait")
LONGEST_TASK_MS = 60_000.0
FEWEST_REPEATS = 3  # below, there is no spread to speak of


@dataclass(frozen=True)
class Task:
    """What one message makes a worker do: the bench's own task (noop, cpu, wait), or a contract by name."""

    kind: str
    milliseconds: float = 0.0
    contract: str = ""

    @property
    def label(self) -> str:
        """As it was given: noop, cpu:5, wait:10, resize."""
        return self.contract or (f"{self.kind}:{self.milliseconds:g}" if self.milliseconds else self.kind)


@dataclass(frozen=True)
class Plan:
    """One bench: every point is one number of workers, every round measures all of them once."""

    task: Task
    workers: tuple[int, ...]
    """Ascending; none: as many as run."""
    repeats: int = 5
    tasks: int | None = None
    """Messages in one run; None: as many as the warm-up says take `run_seconds`."""
    run_seconds: float = 2.5
    warmup_seconds: float = 1.0
    timeout_seconds: float = 120.0
    """For one run, from the moment the workers may begin."""
    service: str = ""
    """The service to scale; empty: the first of the Compose file's workers that runs the task."""

    def __post_init__(self) -> None:
        if self.repeats < FEWEST_REPEATS:
            raise UsageError(
                f"--repeats {self.repeats}: fewer than {FEWEST_REPEATS} runs show no spread",
                hint=f"--repeats {FEWEST_REPEATS} is the least, 5 the default",
            )
        if self.tasks is not None and self.tasks < max(self.workers, default=1):
            raise UsageError(
                f"--tasks {self.tasks}: {max(self.workers)} workers need at least one each",
                hint="leave --tasks out: the warm-up finds a number that takes a few seconds",
            )
        for name, value, least in (
            ("--seconds", self.run_seconds, 0.1),
            ("--warmup", self.warmup_seconds, 0.0),
            ("--timeout", self.timeout_seconds, 1.0),
        ):
            if not least <= value < math.inf:
                raise UsageError(f"{name} {value:g}: must be at least {least:g}", hint="devctl bench --help")

    @property
    def warmup(self) -> float:
        """Seconds of warm-up of each point; without any, one that finds out how many tasks a run needs; or 0."""
        return self.warmup_seconds or (self.run_seconds / 5 if self.tasks is None else 0.0)

    def rounds(self) -> list[tuple[int, ...]]:
        """The order of the runs: up, down, up, …, so that a machine that slows down slowly favours no point."""
        return [self.workers if number % 2 == 0 else self.workers[::-1] for number in range(self.repeats)]


def parse_task(text: str) -> Task:
    """Read noop, cpu:5, wait:10 or the name of a contract; UsageError says what is wrong."""
    kind, colon, amount = text.strip().partition(":")
    if kind not in KINDS:
        if colon or not kind:
            raise UsageError(f"--task {text!r} is not a task", hint="noop, cpu:5, wait:10, or a task: devctl tasks")
        return Task("contract", contract=kind)
    if kind == "noop":
        if colon:
            raise UsageError(f"--task {text!r}: noop takes no time", hint="cpu:5 computes 5 ms, wait:10 waits 10 ms")
        return Task(kind)
    try:
        milliseconds = float(amount)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds <= LONGEST_TASK_MS:
        raise UsageError(
            f"--task {text!r}: {kind} needs its milliseconds, more than 0 and at most {LONGEST_TASK_MS:,.0f}",
            hint=f"for example --task {kind}:10",
        )
    return Task(kind, milliseconds)


def parse_workers(text: str) -> tuple[int, ...]:
    """Read `4` or `1,2,4`; ascending and each once."""
    found = set()
    for part in text.split(","):
        if not part.strip().isdecimal() or not 1 <= int(part) <= MOST_REPLICAS:
            raise UsageError(
                f"--workers {text!r}: {part.strip() or 'an empty part'} is not a number from 1 to {MOST_REPLICAS}",
                hint="--workers 4 measures one point, --workers 1,2,4 prints the scaling table",
            )
        found.add(int(part))
    return tuple(sorted(found))


FEWEST_TASKS_PER_WORKER = 10
MOST_TASKS = 200_000  # about 150 MB in Redis, and no stack of today needs more for a few seconds


def size(rate: float, seconds: float, workers: int) -> int:
    """How many tasks take so many seconds at this rate; never so few that a worker has no steady stretch."""
    return min(MOST_TASKS, max(FEWEST_TASKS_PER_WORKER * workers, math.ceil(rate * seconds)))


def first_guess(task: Task, workers: int) -> int:
    """How many tasks the warm-up starts with: about a quarter of a second of work, where that can be known."""
    if task.kind == "contract":
        return 20 * workers
    if task.kind == "noop":
        return 1_000 * workers
    return workers * max(2, math.ceil(250 / task.milliseconds))


def in_moments(seconds: float, slots: int) -> int:
    """The same for a task that was seen to take so long: a quarter of a second of work, and one for each slot."""
    return slots * max(1, math.ceil(0.25 / max(seconds, 0.01)))
