"""What several checks want to know: asked once, by whoever comes first, while the others wait for the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from devctl.broker.port import Consumer, QueueDepth, ServerInfo
from devctl.discovery.code.read import Code
from devctl.discovery.code.read import read as read_code
from devctl.discovery.model import Found, FoundService, Role
from devctl.doctor.check import Check, Subject
from devctl.errors import DevctlError
from devctl.stack.document import Document, parse
from devctl.stack.engine import Engine, look
from devctl.stack.file import Unset, load
from devctl.stack.model import Service, Stack
from devctl.stack.port import Replica

T = TypeVar("T")

_ROUNDS = 5


class Once(Generic[T]):
    """A property that is worked out once, whatever the number of threads; its DevctlError is kept too."""

    def __init__(self, ask: Callable[[Facts], T]) -> None:
        self._ask = ask
        self._name = ask.__name__
        self.__doc__ = ask.__doc__

    @overload
    def __get__(self, facts: None, owner: type) -> Once[T]: ...
    @overload
    def __get__(self, facts: Facts, owner: type) -> T: ...
    def __get__(self, facts: Facts | None, owner: type) -> Once[T] | T:
        if facts is None:
            return self
        with facts.lock_of(self._name):
            if self._name not in facts.known:
                try:
                    facts.known[self._name] = self._ask(facts)
                except DevctlError as problem:
                    facts.known[self._name] = problem
        answer = facts.known[self._name]
        if isinstance(answer, DevctlError):
            raise answer
        return answer  # type: ignore[no-any-return]


class Facts:
    """Facts about a subject. Reading one may raise DevctlError, the same one every time."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.settings = subject.settings
        self.known: dict[str, Any] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def lock_of(self, name: str) -> threading.RLock:
        """The lock of one fact; others can be asked for meanwhile."""
        with self._guard:
            return self._locks.setdefault(name, threading.RLock())

    @Once
    def engine(self) -> Engine:
        """What the docker client says of the engine."""
        return look(dict(self.settings.environment))

    @Once
    def document(self) -> Document:
        """The Compose file as it stands there."""
        return parse(self.settings.compose_file)

    @Once
    def loaded(self) -> tuple[Stack, list[Unset]]:
        """The stack, and the variables that nobody set."""
        return load(self.settings)

    @Once
    def stack(self) -> Stack:
        """The stack of the Compose file, with what was found of it."""
        return self.subject.stack

    @Once
    def found(self) -> Found:
        """What each service is for."""
        return self.subject.found

    def having(self, *roles: Role) -> list[Service]:
        """The services with one of these roles."""
        return [self.stack.services[name] for name in self.found.having(*roles) if name in self.stack.services]

    @property
    def broker_service(self) -> Service | None:
        """The service that is the broker; None where it is outside, or nothing says which it is."""
        return self.stack.services.get(self.stack.broker)

    @Once
    def broker_kind(self) -> str:
        """redis, amqp, or another transport; "" where nothing says it."""
        scheme = (self.found.broker_url.value or "").partition(":")[0].partition("+")[0].lower()
        if scheme in ("redis", "rediss", "sentinel", "valkey"):
            return "redis"
        if scheme in ("amqp", "amqps", "pyamqp", "librabbitmq"):
            return "amqp"
        image = self.broker_service.image if self.broker_service else ""
        kinds = {"redis": "redis", "valkey": "redis", "keydb": "redis", "dragonfly": "redis", "rabbitmq": "amqp"}
        return scheme or next((kind for word, kind in kinds.items() if word in image.lower()), "")

    @property
    def readable(self) -> bool:
        """Whether the Compose file reads; where it does not, that is a check of its own."""
        try:
            return bool(self.loaded)
        except DevctlError:
            return False

    @Once
    def contracts(self) -> tuple[Any, ...]:
        """The task contracts: objects with a name and a queue."""
        return tuple(self.subject.catalog)

    @Once
    def all_replicas(self) -> list[Replica]:
        """All replicas of the stack, in the runtime that would be used."""
        return self.subject.runtime.status()

    @property
    def replicas(self) -> list[Replica]:
        """Those that run."""
        return [one for one in self.all_replicas if one.state in ("running", "restarting", "paused")]

    @property
    def containers(self) -> bool:
        """Whether commands work with containers now; a missing engine that was asked for is a finding of its own."""
        try:
            return self.subject.runtime_choice[0] == "compose"
        except DevctlError:
            return True

    @property
    def started(self) -> bool:
        """Whether anything of the stack runs; not where the runtime cannot tell, which is a check of its own."""
        try:
            return bool(self.replicas)
        except DevctlError:
            return False

    def runs(self, service: str) -> bool:
        """Whether a service of the stack runs."""
        return self.started and any(replica.service == service for replica in self.replicas)

    @property
    def asking(self) -> threading.RLock:
        """Held by who asks the broker: a connection to RabbitMQ takes one question at a time."""
        return self.lock_of("the broker")

    @Once
    def server(self) -> tuple[ServerInfo, float]:
        """What the broker says of itself, and the seconds in which it does."""
        with self.asking:
            info = self.subject.broker.info()  # the first also connects
            times = []
            for _ in range(_ROUNDS):
                begun = time.perf_counter()
                self.subject.broker.info()
                times.append(time.perf_counter() - begun)
        return info, min(times)  # the other checks keep this machine busy: the shortest is the broker's own

    @Once
    def conf(self) -> Mapping[str, Mapping[str, Any]]:
        """Node -> the settings of its app, of the workers that answer."""
        with self.asking:
            return self.subject.broker.conf(timeout=1.5)

    def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        """These queues, and all others that the broker knows."""
        with self.asking:
            return self.subject.broker.queues(names)

    def code(self, service: FoundService) -> Code:
        """What the code of a service says of its app and its tasks."""
        app = service.celery.app if service.celery else ""
        name = f"code {service.code} {service.paths} {app}"
        with self.lock_of(name):
            if name not in self.known:
                root = service.code or self.settings.root
                self.known[name] = read_code(
                    root, service.launch.environment, app=app, paths=service.paths, repository=self.settings.root
                )
        return self.known[name]  # type: ignore[no-any-return]  # what was put there

    @Once
    def consumers(self) -> list[Consumer]:
        """The Celery workers that answer."""
        with self.asking:
            return self.subject.broker.consumers(timeout=1.5)


Examination = Callable[[Facts], Iterator[Check]]
"""One check; it may find several things, and nothing at all."""
