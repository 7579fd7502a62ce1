"""What was found, and from where: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

Role = Literal["broker", "results", "worker", "beat", "monitor", "web", "database", "job", "other", "unknown"]
"""job: runs once and ends. other: surely none of these (a mail catcher, a proxy). unknown: nothing says what it is."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """An answer and where it comes from. None is "unknown"; then `source` says what would have to be known."""

    value: T | None
    source: str
    """`docker-compose.yml: command of worker`, `worker/Dockerfile:9 CMD`, `start.sh:4`, `app/celery.py:12`,
    `worker-1 (inspect)`."""


class Incomplete(dict[str, str]):
    """An environment in part: a file that is not there sets more of it, so no variable is known to be unset."""


@dataclass(frozen=True)
class CeleryCommand:
    """A command line of Celery, as its own parser would read it."""

    subcommand: str
    """worker, beat, flower, events, inspect, …"""
    argv: tuple[str, ...]
    """From `celery` on."""
    app: str = ""
    """What `-A`, `--app` or CELERY_APP says: `proj`, `proj.celery:app`; of a program that calls its app's
    `worker_main`, its module."""
    queues: tuple[str, ...] = ()
    """`-Q`; empty: those of the app's settings."""
    open: bool = False
    """Whether it may consume more queues: only running what starts it tells all of its words."""
    excluded_queues: tuple[str, ...] = ()
    pool: str = ""
    concurrency: int | None = None
    hostname: str = ""
    """`-n`."""
    logfile: str = ""
    """`-f`: what it says goes there, and not to the container's log."""
    loglevel: str = ""
    """`-l`, in capitals; empty: WARNING."""
    workdir: str = ""
    beat: bool = False
    """`-B`: a beat in the worker."""
    broker: str = ""
    """`-b`: over what the app's settings say."""
    result_backend: str = ""


@dataclass(frozen=True)
class Launch:
    """What a service really runs: the Compose file's words, else the image's, followed through scripts."""

    argv: tuple[str, ...]
    """Empty where nothing says it."""
    source: str
    folder: str = ""
    """The working directory in the container; "" where nothing says it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The image's ENV under the Compose file's environment."""


@dataclass(frozen=True)
class FoundService:
    """One service: what it is for, and what says so."""

    name: str
    roles: tuple[Role, ...]
    """Most have one; a web service may run a worker, too (`supervisord`, `&`), a worker a beat (`-B`)."""
    source: str
    launch: Launch
    celery: CeleryCommand | None = None
    more: tuple[CeleryCommand, ...] = ()
    """Further workers, beats and monitors in the same container."""
    celeriac: bool = False
    """Whether its code installs celeriac, or serves with it."""
    code: Path | None = None
    """The folder here that its Python code is below; None where its image holds none of this repository."""
    paths: tuple[Path, ...] = ()
    """The folders of it that Python looks in: the working directory there, and PYTHONPATH."""


@dataclass(frozen=True)
class Found:
    """All services of a repository, and the broker between them."""

    services: Mapping[str, FoundService]
    broker: Answer[str]
    """The service; unknown where no file names it, or where the broker is outside the Compose file."""
    broker_url: Answer[str]
    """As the workers have it: `redis://redis:6379/0`, `amqp://guest:guest@rabbitmq//`."""
    result_url: Answer[str]
    """`disabled://` where the app surely has none."""

    def having(self, *roles: Role) -> list[str]:
        """The names of the services with one of these roles."""
        return [name for name, one in self.services.items() if {*roles} & {*one.roles}]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task, as it is written; `self` of a bound task is none."""

    name: str
    kind: Literal["positional only", "usual", "keyword only", "*", "**"] = "usual"
    annotation: str = ""
    default: str | None = None
    """Source text; None: it must be given."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """What the annotation asks for, as a JSON schema; empty: anything."""

    @property
    def required(self) -> bool:
        """Whether a call without it fails."""
        return self.default is None and self.kind not in ("*", "**")


@dataclass(frozen=True)
class FoundTask:
    """One Celery task, found in the code or registered by a living worker."""

    name: str
    queue: Answer[str]
    """Where `delay()` would send it; unknown where routes or settings cannot be read for certain."""
    parameters: tuple[Parameter, ...] | None
    """None: nobody knows them (it is only registered, or it takes what a class decides when it runs)."""
    file: str = ""
    """Relative to the repository; "" for one that only a worker knows."""
    line: int = 0
    function: str = ""
    """The name in the code: `resize` of `images.tasks.resize`."""
    bind: bool = False
    pydantic: bool = False
    ignore_result: bool | None = None
    """By the decorator, else by the app's settings; None where neither says it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Other literal options of the decorator: acks_late, autoretry_for (as source text), rate_limit, time_limit, …"""
    docstring: str = ""
    """Its first line."""
    services: tuple[str, ...] = ()
    """The services whose workers serve it, by the files."""
    others_may: bool = False
    """Whether more of them may serve it: what one imports cannot be read."""
    nodes: tuple[str, ...] = ()
    """The living workers that have it registered and consume its queue."""


@dataclass(frozen=True)
class Setting:
    """One Celery setting in the code, by its new lower-case name."""

    name: str
    value: object
    """A literal, or `Unreadable`."""
    file: str
    line: int


@dataclass(frozen=True)
class Unreadable:
    """A value that only running the code would tell; what stands there."""

    text: str


@dataclass(frozen=True)
class FoundCache:
    """One cache of Django that is in a Redis."""

    name: str
    url: str
    file: str
    line: int


@dataclass(frozen=True)
class Binding:
    """What a queue of `task_queues` takes from its exchange."""

    queue: str
    exchange: str
    kind: str
    """The type of the exchange: direct, topic, fanout."""
    key: str


@dataclass(frozen=True)
class FoundApp:
    """One Celery app in the code."""

    module: str
    variable: str
    file: str
    line: int
    main: str = ""
    """The first argument of `Celery(…)`."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    complete: bool = True
    """Whether all its settings could be read: with False, an absent setting proves nothing."""
