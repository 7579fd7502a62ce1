"""The port to the broker: what devctl asks of Redis and of the Celery workers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from celeriac.dead_letter.letters import Letter
    from celeriac.life.extent import Extent
    from celeriac.life.record import Record

TaskState = Literal["pending", "started", "retrying", "succeeded", "failed"]
EventKind = Literal["received", "started", "retried", "succeeded", "failed"]
"""failed: also revoked, and rejected for good."""
Note = Literal["", "queued", "done"]
"""Of publish once: nothing, published and not done, done."""


@dataclass(frozen=True)
class Message:
    """One task to publish: Celery message protocol 2, JSON."""

    task: str
    queue: str
    task_id: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    ignore_result: bool = False
    remembered_seconds: int = 24 * 3600
    """How long the broker knows a repeat of it, where it is published once."""


@dataclass(frozen=True)
class Acceptance:
    """All messages are in their queues."""

    seconds: float
    """From the first push to the last acceptance: without connecting."""
    repeated: frozenset[str] = frozenset()
    """Task ids that had been published before: of those, nothing happened."""
    missing: frozenset[str] = frozenset()
    """Of these, those that are not done and whose messages are not there any more."""


@dataclass(frozen=True)
class QueueDepth:
    """One queue: messages waiting in its list, claimed (taken, not yet acknowledged), delayed (not due yet), dead."""

    name: str
    waiting: int
    claimed: int | None
    """None: this broker does not tell it (RabbitMQ without its management API)."""
    oldest_seconds: float | None = None
    """Age of the oldest waiting message, where its publisher stamped one (`published_at`)."""
    delayed: int = 0
    dead: int = 0
    stopped: bool = False
    """Its dead letters are at their bound: workers no longer claim from it."""
    consumers: int | None = None
    """How many consumers the broker itself counts; None: it does not count them (Redis)."""
    dead_letters_to: str = ""
    """Where the broker puts what a worker rejects: exchange, and the queue behind it (RabbitMQ)."""


@dataclass(frozen=True)
class Consumer:
    """One Celery worker that answered: its node name, the queues it consumes, the tasks it has registered."""

    node: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Running:
    """One task that a worker runs."""

    task: str
    task_id: str
    since: float
    """Unix seconds, the worker's clock."""


@dataclass(frozen=True)
class Worker:
    """One Celery worker that answered: what it consumes, how much at once, and what it runs."""

    node: str
    queues: tuple[str, ...]
    threads: int | None = None
    """So many tasks at once: threads or processes of its pool; None where it does not say."""
    running: tuple[Running, ...] = ()
    """With celeriac, what has run for 0.2 s."""


@dataclass(frozen=True)
class Holder:
    """Where a task is that has not ended: a worker has it, or its message lies in the broker."""

    node: str = ""
    """The worker that says that it has it."""
    runs: bool = False
    """It runs it; else it has it in its memory: prefetched, or not due yet."""
    queue: str = ""
    """Without a node: the queue that its message lies in."""
    claimed: bool = False
    """Without a node: a worker claimed it that no longer says so."""


@dataclass(frozen=True)
class Place:
    """Where the message of a task lies in the broker."""

    state: Literal["waiting", "claimed", "due"]
    queue: str
    behind: int | None = None
    """How many messages of its queue are taken before it; None: it does not wait."""
    due: float | None = None
    """Unix seconds, the broker's clock."""
    tag: str = ""
    """Its delivery tag, if it is claimed."""
    task: str = ""
    published: float | None = None
    """Unix seconds by its publisher's clock, where it wrote them down."""


@dataclass(frozen=True)
class TaskResult:
    """What the result backend knows of a task."""

    task_id: str
    state: TaskState
    result: Any = None
    error_type: str = ""
    error_message: str = ""
    finished: float | None = field(default=None, compare=False)
    """Unix seconds by the worker's clock; None where it is not over, or where nobody wrote that down."""
    unreadable: str = ""
    """Why its result or its error is not here although its state is."""
    progress: float | None = None
    """How far it says that it is, 0 to 1."""
    note: str = ""
    """What it says that it does."""


@dataclass(frozen=True)
class ServerInfo:
    """The broker's server."""

    product: str
    """redis, valkey or rabbitmq."""
    version: str
    persistence: str
    """"AOF everysec", "AOF always", "RDB only", "none"; "" where each queue has its own."""
    eviction_policy: str
    maxmemory_bytes: int
    used_memory_bytes: int


@dataclass(frozen=True)
class Execution:
    """One run of a task's body, as the worker wrote it into the run's ledger; unix seconds, the worker's clock."""

    task_id: str
    started: float
    finished: float
    worker: str


@dataclass(frozen=True)
class TaskEvent:
    """One step in the life of a task, as a worker told it; unix seconds, the worker's clock."""

    kind: EventKind
    task_id: str
    at: float
    node: str


class TaskEvents(Protocol):
    """What workers tell while somebody listens."""

    problem: str
    """Why nothing more comes; "" as long as it does."""

    def taken(self) -> list[TaskEvent]:
        """All that came since the last call."""


class Life(Protocol):
    """The records of the steps that messages took, where workers and publishers with celeriac write them."""

    why_none: str
    """Why there are no records, and how to get some; "" where they are written."""

    def find(self, texts: Sequence[str], since: float = 0.0) -> list[Record]:
        """The records, by time, of entries that hold one of these texts; others of the same entries may be among them.
        `since`: only entries of this time and later."""

    def newest(self) -> str:
        """The id of the last entry; "0" where there is none."""

    def follow(self, after: str, wait_seconds: float = 0.0) -> tuple[str, list[Record]]:
        """The records behind this entry, and the id to go on with; waits so long for one, a second at most."""

    def now(self) -> float:
        """Unix seconds by the clock of the records."""

    def span(self) -> Extent:
        """From when to when there are records, and how much."""


class Broker(Protocol):
    """All calls may raise DevctlError with a hint, soon: no call hangs when the server is away."""

    url: str
    celeriac: bool
    """Whether its workers may have celeriac: due times, leases, dead letters, publish once are known here."""

    @property
    def blind(self) -> str:
        """What of its queues cannot be seen from here, and why; "" where all can."""

    @property
    def life(self) -> Life:
        """The records of steps."""

    @property
    def why_no_results(self) -> str:
        """Why no result can be read, whatever becomes of a task; "" where they can be."""

    def info(self) -> ServerInfo:
        """Ask the server what it is; DevctlError where it does not answer."""

    def publish(self, messages: Sequence[Message]) -> float:
        """Publish all, in order, in chunks; DevctlError says how many were accepted where it fails midway.

        Returns the seconds from the first push to the last acceptance: without connecting and declaring.
        """

    def publish_once(self, messages: Sequence[Message]) -> Acceptance:
        """The same, but where celeriac is, not what was published before. DevctlError also for a queue that is full,
        and for other work under the id of one of them."""

    @property
    def returned(self) -> str:
        """How claims of a dead worker come back where nobody has to return them; "" where `give_back` may have to."""

    def queues(self, names: Sequence[str], *, search: bool = True) -> list[QueueDepth]:
        """Depths of these queues and of any other queue the broker knows. Without `search`, of these alone: cheap
        enough for once a second, where a search may read the names of all keys."""

    def at_work(self, *, timeout: float = 1.0) -> list[Worker]:
        """Workers that answer within `timeout`, and what they run."""

    def pause(self, queue: str) -> None:
        """Have no worker take anything more from this queue. What was taken before is done, and it still accepts
        messages. DevctlError where a worker does not obey."""

    def resume(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Have it consumed again. Where the broker keeps no list (stock Celery), these workers are told to consume it:
        those that this process made leave it where none is named; DevctlError where it made none."""

    def paused(self) -> frozenset[str]:
        """The queues that are paused; where the broker keeps no list, those that this process has paused."""

    def consumers(self, *, expected: int | None = None, timeout: float = 1.0) -> list[Consumer]:
        """Workers that answer within `timeout`; returns as soon as `expected` have."""

    def conf(self, *, timeout: float = 1.0) -> Mapping[str, Mapping[str, Any]]:
        """Node -> its app's settings, as Celery tells them: those that were set, without passwords."""

    def stats(self, *, timeout: float = 1.0) -> Mapping[str, Mapping[str, Any]]:
        """Node -> what it says of its pool, its prefetching, and what it has run."""

    def consume(self, queue: str, nodes: Sequence[str]) -> None:
        """Tell these workers to consume one more queue."""

    def stop_consuming(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Tell these workers, or all, to leave a queue."""

    def events(self) -> AbstractContextManager[TaskEvents]:
        """What workers tell of their tasks, from the begin of the block to its end."""

    def send_events(self, nodes: Sequence[str]) -> list[str]:
        """Tell these workers to send task events; those that did not before. DevctlError where one is silent."""

    def withhold_events(self, nodes: Sequence[str]) -> None:
        """Tell these workers to send no task events; one that is gone sends none."""

    def results(self, task_ids: Sequence[str]) -> list[TaskResult]:
        """What is known of these tasks now, in the same order; does not wait."""

    def holder(self, task_id: str) -> Holder | None:
        """Where this task is now; None where nothing tells it, or where celeriac is."""

    def place(self, task_id: str, queue: str = "") -> Place | None:
        """Where its message lies; in this queue, if one is named. None where it does not, or where nobody can look.
        It reads messages, so not for a loop."""

    def oldest(self, queues: Sequence[str], most: int = 20) -> Mapping[str, Sequence[str]]:
        """Queue -> the tasks of its messages that are taken next, "" for what is no message; empty where nobody can
        look. A queue in which nothing waits may be missing."""

    def task_ids(self, start: str) -> list[str]:
        """The ids of tasks with a result or a note that begin so; reads all keys, so not for a loop."""

    def note(self, task_id: str) -> Note:
        """What the broker remembers of the publishing of this task."""

    def letters(
        self,
        *,
        queue: str = "",
        older_than: float | None = None,
        newer_than: float | None = None,
        newest_first: bool = False,
    ) -> Iterator[Letter]:
        """The dead letters of one queue or of all, by time, without their messages; ages in seconds."""

    def letter(self, letter_id: str) -> Letter | None:
        """One dead letter with its message; None where it is not, or no longer, there."""

    def replay(self, letter: Letter) -> bool:
        """Put it back into its queue as a new message of the same task, once; False where it is no letter any more.

        ValueError where it is no message that can be replayed: it stays a letter.
        """

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove dead letters for ever; how many were there."""

    def expired(self) -> int:
        """How many claims have a lease that is over and that nobody else returns."""

    def give_back(self) -> int:
        """Return claims to their queues whose lease is over and whom nobody else returns; how many."""

    def executed(self, run: str) -> int:
        """How many executions a bench run's ledger holds; one cheap call."""

    def ledger(self, run: str) -> list[Execution]:
        """A bench run's ledger, in order of arrival."""

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        """Remove a bench run's queues with all that is claimed, delayed or dead of them, its ledger, and what these
        tasks left: results, and records of what was done."""
