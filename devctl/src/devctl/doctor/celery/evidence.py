"""What the rules look at: the settings of one app, who runs it, and what its code does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from devctl.discovery.model import (
    Answer,
    Binding,
    CeleryCommand,
    FoundCache,
    FoundService,
    FoundTask,
    Setting,
    Unreadable,
)
from devctl.stack.model import Service

NO_CODE = "the code of the app is not here, or was not found"


NO_URL = Answer[str](None, "")


class NotKnown(Exception):
    """A rule would have to know this; `why` says what stands in the way."""

    def __init__(self, what: str, why: str, *, asked: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.asked = asked
        """Whether a living worker can be asked."""


@cache
def defaults() -> Mapping[str, Any]:
    """What Celery takes where nobody sets anything, by new lower-case names."""
    from celery.app.defaults import DEFAULTS

    return DEFAULTS


@dataclass(frozen=True)
class Settings:
    """Celery settings of one app: a living worker's over those in the code, over Celery's defaults."""

    written: Mapping[str, Setting] = field(default_factory=dict)
    """In the code."""
    complete: bool = True
    """Whether the code sets nothing else."""
    home: str = ""
    """Where a setting of the app would be written: `app/celery.py:12`."""
    lack: str = ""
    """Why nothing is known of the code; "" where something is."""
    live: Mapping[str, Any] | None = None
    """A living worker's, without those that are Celery's defaults; None without a worker."""

    def get(self, name: str) -> Any:
        """The value in force; NotKnown where only running the code would tell."""
        if self.live is not None:
            return self.live[name] if name in self.live else defaults().get(name)
        if name in self.written:
            value = self.written[name].value
            if isinstance(value, Unreadable):
                raise NotKnown(name, f"{self.place(name)}: {value.text}", asked=True)
            return value
        if not self.complete:
            why = self.lack or f"not all settings of the app at {self.home} can be read"
            raise NotKnown(name, why, asked=True)
        return defaults().get(name)

    def is_set(self, name: str) -> bool:
        """Whether somebody sets it; NotKnown where that cannot be seen."""
        self.get(name)
        return name in (self.written if self.live is None else self.live)

    def place(self, name: str) -> str:
        """Where it is written, else where it would be."""
        one = self.written.get(name)
        if one is None or not one.file:
            return self.home
        return f"{one.file}:{one.line}" if one.line else one.file

    def transport(self, name: str) -> Any:
        """One of `broker_transport_options`; None where it is not there."""
        options = self.get("broker_transport_options") or {}
        if isinstance(options, Unreadable) or not isinstance(options, Mapping):
            raise NotKnown("broker_transport_options", self.place("broker_transport_options"), asked=True)
        value = options.get(name)
        if isinstance(value, Unreadable):
            raise NotKnown(f"broker_transport_options: {name}", value.text, asked=True)
        return value

    @property
    def claims(self) -> bool:
        """Whether workers take messages with claims that they renew, as celeriac's do: a run may last, and how much
        they take is bounded by the time it needs. Stock ones renew nothing and count messages."""
        return str(self.get("broker_transport") or "").startswith("celeriac.")


Kind = Literal[
    "sent",  # delay() or apply_async(), and nobody says to which queue
    "join",  # waits for another task's result
    "join in a task",
    "by id",  # AsyncResult(an id)
    "chord",
    "wait",  # countdown, eta: seconds
    "endless retry",
    "priority",
    "model",  # an object of an ORM as an argument
    "before commit",
    "no timeout",  # requests without one, in a task
    "async",
    "unbound",  # a task with `self` that is not bound
    "no parameter",  # a bound task without a parameter
    "unsent",  # a signature, or delay without a call, that nobody sends
    "swallowed retry",  # the exception of retry() is caught beside it
    "started",  # asks for the state STARTED
]


@dataclass(frozen=True)
class Mark:
    """Something that the code does at one place."""

    kind: Kind
    file: str
    line: int
    text: str = ""
    seconds: float = 0.0

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Pin:
    """One package as a file of requirements asks for it."""

    name: str
    version: str
    """`5.2.7` where exactly this one is asked for, or locked; else ""."""
    bounded: bool
    """Whether anything limits the version."""
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers; empty where there is none."""
        found = []
        for part in self.version.split("."):
            if not part.isdigit():
                break
            found.append(int(part))
        return tuple(found)


@dataclass(frozen=True)
class Entry:
    """One line of a beat schedule."""

    name: str
    task: str
    place: str


@dataclass(frozen=True)
class Runner:
    """One service that runs Celery."""

    found: FoundService
    service: Service

    @property
    def name(self) -> str:
        return self.found.name

    @property
    def command(self) -> CeleryCommand | None:
        return self.found.celery

    def option(self, *names: str) -> str:
        """The value of an option of its command line, "yes" for one without; "" where it is not there."""
        argv = list(self.command.argv) if self.command else []
        for at, word in enumerate(argv):
            if word in names:
                follows = argv[at + 1] if at + 1 < len(argv) else ""
                return "yes" if not follows or follows.startswith("-") else follows
            for name in names:
                if word.startswith(f"{name}=") and name.startswith("--"):
                    return word.partition("=")[2] or "yes"
        return ""


@dataclass(frozen=True)
class Evidence:
    """All that is known of one app."""

    settings: Settings
    broker: str = ""
    """redis, amqp, another transport; "" where it is not known."""
    results: str | None = None
    """The URL of the result backend, `disabled://` without one; None where it is not known."""
    workers: tuple[Runner, ...] = ()
    beats: tuple[Runner, ...] = ()
    """Services that run a beat, those with a worker, too (`-B`)."""
    other_beats: bool = False
    """Whether a service of another app runs a beat."""
    services_known: bool = False
    """Whether of every service it is known what it runs: only then nobody else is a worker or a beat."""
    tasks: tuple[FoundTask, ...] = ()
    tasks_lack: str = NO_CODE
    """Why these are not all tasks of the code; "" where they are."""
    names_known: bool = False
    """Whether tasks surely have these names: Python looks for the app where it lies."""
    code_known: bool = False
    """Whether the code is here: only then what it does not do is known."""
    declared: tuple[str, ...] = ()
    """The queues that the app's settings declare: a worker without -Q consumes them."""
    bindings: tuple[Binding, ...] = ()
    """What these queues take from their exchanges, as far as that can be read."""
    caches: tuple[FoundCache, ...] = ()
    broker_url: Answer[str] = NO_URL
    schedule: tuple[Entry, ...] = ()
    marks: tuple[Mark, ...] = ()
    pins: tuple[Pin, ...] = ()

    def of(self, *kinds: Kind) -> Iterator[Mark]:
        """What the code does of these kinds; NotKnown at the end where it is not here."""
        yield from (one for one in self.marks if one.kind in kinds)
        if not self.code_known:
            raise NotKnown("what the code does", NO_CODE)

    @property
    def tasks_known(self) -> bool:
        """Whether these are all tasks."""
        return not self.tasks_lack

    def all_tasks(self) -> Iterator[FoundTask]:
        """The tasks; NotKnown at the end where these are not all."""
        yield from self.tasks
        if self.tasks_lack:
            raise NotKnown("all tasks", self.tasks_lack)

    def packages(self) -> tuple[Pin, ...]:
        """The packages that are asked for; NotKnown where no file says so."""
        if not any(pin.name == "celery" for pin in self.pins):
            why = "no file of requirements beside the code names celery" if self.code_known else NO_CODE
            raise NotKnown("the versions of packages", why)
        return self.pins

    def option(self, task: FoundTask, name: str, setting: str = "") -> Any:
        """An option of a task, else the app's setting; NotKnown where it cannot be read."""
        if name in task.options:
            value = task.options[name]
            if isinstance(value, Unreadable):
                raise NotKnown(f"{name} of {task.name}", f"{place(task)}: {value.text}")
            return value
        return self.settings.get(setting) if setting else None

    @property
    def redis(self) -> bool:
        """Whether the broker is Redis, read by stock kombu."""
        return self.broker == "redis" and not self.settings.claims

    @property
    def pools(self) -> set[str]:
        """The pools of the workers; prefork where their command does not say, and no setting does."""
        named = {one.command.pool for one in self.workers if one.command and one.command.pool}
        if all(one.command and one.command.pool for one in self.workers) and self.workers:
            return named
        return named | {str(self.settings.get("worker_pool") or "prefork")}

    def limit(self, task: FoundTask | None = None) -> float:
        """Seconds after which a task is ended, at the most; 0 without a limit."""
        limits: list[Any] = []
        if task:
            limits = [self.option(task, "time_limit"), self.option(task, "soft_time_limit")]
        if not any(limits):
            limits = [one.option("--time-limit") or one.option("--soft-time-limit") for one in self.workers]
            limits = limits if limits and all(limits) else []
        if not any(limits):
            limits = [self.settings.get("task_time_limit"), self.settings.get("task_soft_time_limit")]
        seconds = [float(one) for one in limits if one and str(one).replace(".", "", 1).isdigit()]
        return max(seconds, default=0.0)

    def acknowledged_late(self) -> Iterator[FoundTask | None]:
        """The tasks that are acknowledged when they have run; None for the app's own default."""
        if self.settings.get("task_acks_late"):
            yield None
        for task in self.tasks:
            if task.options.get("acks_late") is True:
                yield task


def place(task: FoundTask | None) -> str:
    """`images/tasks.py:12`; "" for one that only a worker knows."""
    return f"{task.file}:{task.line}" if task and task.file else ""


def spoken(seconds: float) -> str:
    """`90 s`, `5 min`, `1 h`, `2 days`: the largest unit that it is a whole number of."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0 and (unit != "days" or seconds > length):
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
