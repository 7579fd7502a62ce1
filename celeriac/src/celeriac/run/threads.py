"""The task threads of a worker, the jobs that they get, and the bodies that they run."""

import os
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, time
from typing import Any, NamedTuple

from celery.worker import state
from msgspec import Struct, field

from celeriac.outcome.commit import OPEN, Commit, Said
from celeriac.soft_limit import Window

FIRST_GUESS_SECONDS = 0.02  # how long a message takes, until there is one to measure


class Job(NamedTuple):
    """A claimed message and the way it is to go."""

    runner: Callable[["Job", "TaskThread"], bool] | None
    message: dict[str, Any]
    raw: bytes
    tag: str
    list_key: str


class TaskThread:
    """One task thread.

    It alone changes its fields, except: `chunk`, from which whoever gives messages back takes the newest while this
    thread takes the oldest (a deque, safe in all threads); `seconds`, which the guard raises; and what `TaskPool.lost`
    clears, when this thread has died. The guard and the consumer's thread read all of them: `running` may be another
    one, or None, at the next look."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.window = Window()
        self.opened = vars(OPEN)  # what OPEN is in this thread: to write it there takes a third of the time
        self.python_thread: threading.Thread | None = None
        self.tag = ""  # of the message that this thread works on
        self.waiting = False  # until a message that runs alone has ended, or until the others have, to run alone
        self.chunk: deque[Job] = deque()  # claimed and handed to this thread, not started
        self.taken = 0  # jobs that left the inbox or the chunk through this thread
        self.seconds = FIRST_GUESS_SECONDS
        self.busy = False
        self.running: Running | None = None
        self.stacks: dict[str, tuple[list[Any], list[Any]]] = {}  # by task: the stacks of `current_task` and `request`


class Running(Struct, eq=False, weakref=True):  # a Struct is made in a third of the time
    """A body that runs. Celery's remote control sees it in place of a Request, so it has what Celery asks of one."""

    task: Any
    tag: str
    headers: dict[str, Any]
    hard: float | None = None  # seconds
    soft: float | None = None
    commit: Commit | None = None  # that it runs in
    since: float = field(default_factory=monotonic)
    shown: bool = False  # as STARTED, and in `inspect active`
    celerys: bool = False  # Celery's own request shows it in `inspect active`
    interrupted: bool = False
    told: Said | None = None  # of its progress
    told_at: float = 0.0
    acknowledged: bool = False

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What `inspect active` tells; named and shaped as Celery's Request.info."""
        return {
            "id": self.id,
            "name": self.task.name,
            "type": self.task.name,
            "args": self.headers.get("argsrepr" if safe else "args"),
            "kwargs": self.headers.get("kwargsrepr" if safe else "kwargs"),
            "hostname": self.headers.get("hostname"),
            "time_start": time() - (monotonic() - self.since),
            "acknowledged": self.acknowledged,
            "delivery_info": self.headers.get("delivery_info"),
            "worker_pid": os.getpid(),
        }

    @property
    def id(self) -> str:
        """The task id; named as Celery's Request has it."""
        return str(self.headers["id"])

    def show(self) -> None:
        """Show it to remote control."""
        self.shown = True
        if self.celerys:
            return
        state.requests[self.id] = self
        state.active_requests.add(self)

    def hide(self) -> None:
        if self.celerys:
            return
        state.active_requests.discard(self)
        state.requests.pop(self.id, None)

    def cancel(self, pool: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do at a cold stop: the pool gives the message back."""

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """As in all pools of threads: raises NotImplementedError."""
        pool.terminate_job(os.getpid(), signal)
