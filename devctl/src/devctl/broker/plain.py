"""What stock Celery keeps and does, whatever its broker: no dead letters, no leases, no notes of what was published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from devctl.broker import server
from devctl.broker.life import NoLife
from devctl.broker.masking import HIDDEN
from devctl.broker.port import (
    Acceptance,
    Consumer,
    Execution,
    Holder,
    Life,
    Message,
    Note,
    Place,
    TaskEvents,
    TaskResult,
    Worker,
)
from devctl.broker.results import WHAT, NoResults, Results, open_results
from devctl.broker.workers import Workers
from devctl.errors import DevctlError

if TYPE_CHECKING:
    from kombu import Connection

    from celeriac.dead_letter.letters import Letter

ASK_SECONDS = 1.0


@dataclass(frozen=True)
class App:
    """What is known of the app whose broker it is."""

    results: str = ""
    """Its `result_backend`, as its workers have it; "" where no file says it."""
    transport: Mapping[str, Any] = field(default_factory=dict)
    """`broker_transport_options`."""
    results_transport: Mapping[str, Any] = field(default_factory=dict)
    """`result_backend_transport_options`."""
    service: str = ""
    """The broker's name in the stack, for hints; "" for one outside."""
    from_here: Callable[[str], str] = lambda url: url
    """An URL that a worker has -> the same on this machine."""
    left: dict[str, Sequence[str]] = field(default_factory=dict, compare=False)
    """Queue -> the workers that were told to leave it; every broker of this app knows it."""

    @property
    def hint(self) -> str:
        """What to do where the broker does not answer."""
        return f"start it: devctl up {self.service}" if self.service else "is it running there?"


class PlainBroker(ABC):
    """Half of the port; the other half is what each broker does in its own way."""

    celeriac = False
    _connect = staticmethod(server.connect_as_kombu)

    def __init__(self, url: str, app: App) -> None:
        self.url = url
        self._about = app

    @abstractmethod
    def _answering(self) -> AbstractContextManager[None]:
        """Turns what a client raises into a problem with a name."""

    @property
    @abstractmethod
    def _workers(self) -> Workers:
        """The workers behind it."""

    @abstractmethod
    def _connection(self) -> Connection:
        """A new connection of kombu's."""

    @abstractmethod
    def publish(self, messages: Sequence[Message]) -> float:
        """Publish all, in order."""

    def _opened(self, url: str) -> Results:
        """The results of a backend at this address."""
        told = self._about.results_transport.get("global_keyprefix")
        prefix, same = told if isinstance(told, str) else "", url == self.url
        hint = self._about.hint if same else "is it running there? devctl ps"
        return open_results(url, hint, prefix, self._connect, "the broker" if same else WHAT)

    @cached_property
    def _results(self) -> Results:
        url = self._about.results or self._told_results()
        if not url:
            return NoResults("no file says where results go, and no worker answers that could be asked")
        return self._opened(self._about.from_here(url))

    def _told_results(self) -> str:
        """What a living worker says of its result backend."""
        for settings in self.conf(timeout=ASK_SECONDS).values():
            told = str(settings.get("result_backend") or "disabled://")
            if HIDDEN in told:  # Celery masks it, too; most often it is that of the broker
                own = urlsplit(self.url).netloc.rpartition("@")[0]
                told = told.replace(urlsplit(told).netloc.rpartition("@")[0], own)
            return told
        return ""

    @property
    @abstractmethod
    def returned(self) -> str:
        """How claims of a dead worker come back."""

    @property
    def blind(self) -> str:
        """All queues can be seen."""
        return ""

    @property
    def life(self) -> Life:
        """Stock Celery writes no records."""
        return NoLife(f"stock Celery writes down no steps; {self._more}")

    _more = "`celeriac.install(app)`, where the app is made, has them written down"

    @property
    def why_no_results(self) -> str:
        """Why no result can be read."""
        return self._results.why_none

    def results(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now."""
        return self._results.read(task_ids)

    def task_ids(self, start: str) -> list[str]:
        """The ids of tasks with a result that begin so."""
        return self._results.ids(start)

    def holder(self, task_id: str) -> Holder | None:
        """The worker that says that it has this task now."""
        with self._answering():
            return self._workers.holder(task_id, ASK_SECONDS)

    def place(self, task_id: str, queue: str = "") -> Place | None:
        """Nobody can look into it."""
        return None

    def oldest(self, queues: Sequence[str], most: int = 20) -> Mapping[str, Sequence[str]]:
        """Nobody can look into them."""
        return {}

    def publish_once(self, messages: Sequence[Message]) -> Acceptance:
        """Nobody remembers an id here: publish."""
        return Acceptance(self.publish(messages))

    def consumers(self, *, expected: int | None = None, timeout: float = ASK_SECONDS) -> list[Consumer]:
        """Workers that answer within `timeout`; returns as soon as `expected`, or all that listen, have."""
        with self._answering():
            return self._workers.consumers(expected, timeout)

    def at_work(self, *, timeout: float = ASK_SECONDS) -> list[Worker]:
        """Workers that answer within `timeout`, and what they run."""
        with self._answering():
            return self._workers.at_work(timeout)

    def conf(self, *, timeout: float = ASK_SECONDS) -> Mapping[str, Mapping[str, Any]]:
        """Node -> its app's settings, without passwords."""
        with self._answering():
            return self._workers.say("conf", timeout)

    def stats(self, *, timeout: float = ASK_SECONDS) -> Mapping[str, Mapping[str, Any]]:
        """Node -> what it says of its pool."""
        with self._answering():
            return self._workers.say("stats", timeout)

    def consume(self, queue: str, nodes: Sequence[str]) -> None:
        """Tell these workers to consume one more queue; returns when they do."""
        self._order(queue, "add_consumer", {"queue": queue, "exchange": queue, "routing_key": queue}, nodes)

    def stop_consuming(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Tell these workers, or all, to leave a queue; returns when they have."""
        self._order(queue, "cancel_consumer", {"queue": queue}, nodes)

    def pause(self, queue: str) -> None:
        """Have the workers leave it; stock Celery knows no other way, and only this process remembers who they were."""
        nodes = [one.node for one in self.consumers() if queue in one.queues]
        if not nodes:
            raise DevctlError(f"no worker consumes {queue}: nothing to pause", hint="devctl queues shows who does what")
        self.stop_consuming(queue, nodes)
        self._about.left[queue] = nodes

    def resume(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Have these workers consume it, or those that left it."""
        told = self._about.left.get(queue, []) if nodes is None else nodes
        if not told:
            raise DevctlError(
                f"nobody knows which workers are to consume {queue}", hint="restart them: they begin with all queues"
            )
        self.consume(queue, told)
        self._about.left.pop(queue, None)

    def paused(self) -> frozenset[str]:
        """Those that this process has paused."""
        return frozenset(self._about.left)

    def events(self) -> AbstractContextManager[TaskEvents]:
        """What workers tell of their tasks, from the begin of the block to its end."""
        from devctl.broker import task_events  # Celery's app with it, for bench and chaos alone

        return task_events.listening(self._connection())

    def send_events(self, nodes: Sequence[str]) -> list[str]:
        """Tell these workers to send task events; returns those that did not before."""
        with self._answering():
            return self._workers.send_events(nodes)

    def withhold_events(self, nodes: Sequence[str]) -> None:
        """Tell these workers to send no task events; one that is gone sends none."""
        with self._answering():
            self._workers.withhold_events(nodes)

    def _order(self, queue: str, method: str, arguments: dict[str, Any], nodes: Sequence[str] | None) -> None:
        with self._answering():
            self._workers.order(queue, method, arguments, nodes)

    def note(self, task_id: str) -> Note:
        """Stock Celery writes none."""
        return ""

    def letters(
        self,
        *,
        queue: str = "",
        older_than: float | None = None,
        newer_than: float | None = None,
        newest_first: bool = False,
    ) -> Iterator[Letter]:
        """Stock Celery keeps none."""
        yield from ()

    def letter(self, letter_id: str) -> Letter | None:
        """Stock Celery keeps none."""
        return None

    def replay(self, letter: Letter) -> bool:
        """There is nothing to replay."""
        return False

    def drop(self, letter_ids: Sequence[str]) -> int:
        """There is nothing to drop."""
        return 0

    def expired(self) -> int:
        """Claims of stock workers have no lease."""
        return 0

    def give_back(self) -> int:
        """The broker gives back what a dead stock worker had claimed."""
        return 0

    def executed(self, run: str) -> int:
        """Their workers keep no ledger of ours."""
        return 0

    def ledger(self, run: str) -> list[Execution]:
        """Their workers keep no ledger of ours."""
        return []


def shortfall(accepted: int, doubt: int, total: int) -> Iterable[str]:
    """How much of a publish that failed is certain."""
    yield f"{accepted:,} of {total:,} messages were accepted"
    if doubt:
        yield f"{doubt:,} more may have been: no answer came"
