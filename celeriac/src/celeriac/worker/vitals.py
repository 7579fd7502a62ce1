"""What shows whether this worker is well. `celeriac.health` judges it: a probe in another process, or /health here."""

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac import debugger
from celeriac.broker.client import client_of
from celeriac.health import Judgement, judge

if TYPE_CHECKING:
    from celery import Celery

PING_SECONDS = 2.0  # between two, and until one counts as not answered
ASLEEP_SECONDS = 5.0  # without a look: the whole process stood still (SIGSTOP, a paused container)
FULL_SECONDS = 5.0  # a queue that was full at a claim counts as full for so long


class Consumption(Protocol):
    """Whether this process consumes, as far as it matters here."""

    stopping: bool

    def alive(self) -> bool: ...


class Ping:
    """Asks Redis whether it is there, on a connection and in a thread of its own: whatever hangs here, the answer says
    whether Redis is to blame."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        """`ask` raises if there is no answer."""
        self._ask = ask
        self._answers = True
        self._asked_at: float | None = None  # and not answered yet
        self._ended = threading.Event()
        self._alone = threading.Lock()
        # A fork in the middle of a ping would give the child the locks that it holds just then (name resolution), and
        # nobody to release them.
        release = self._alone.release
        os.register_at_fork(before=self._alone.acquire, after_in_parent=release, after_in_child=release)

    def start(self) -> None:
        debugger.goes_on(threading.Thread(target=self._run, name="ping", daemon=True)).start()

    def stop(self) -> None:
        self._ended.set()

    def answers(self, now: float) -> bool:
        asked_at = self._asked_at
        return self._answers and (asked_at is None or now - asked_at < 2 * PING_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(PING_SECONDS):
            with self._alone:
                self._asked_at = monotonic()
                try:
                    self._ask()
                    self._answers = True
                except Exception:  # a broken connection, a name that nobody knows, -LOADING: it is not there
                    self._answers = False
                finally:
                    self._asked_at = None


def ping_of(app: "Celery") -> Ping:
    """The ping of this app's broker."""
    clients: list[Any] = []

    def ask() -> None:
        if not clients:
            once = Retry(NoBackoff(), 0)
            clients.append(client_of(app, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS, retry=once))
        clients[0].ping()

    return Ping(ask)


class Vitals:
    """`look` is called every two seconds, by one thread; `judgement` by any.

    Most parts of a worker count something anyway. A part whose count stands still while it has work hangs; since when,
    these looks tell. So being watched costs a message nothing."""

    def __init__(self, app: "Celery", consumption: Consumption, ping: Ping | None) -> None:
        """`ping`: None where the broker is no Redis."""
        self._app, self._consumption, self._ping = app, consumption, ping
        self._known: dict[str, tuple[Any, float]] = {}
        self._looked_at = self._awake_at = monotonic()
        self.text = ""  # what was seen last: see `judge`

    def judgement(self) -> Judgement | None:
        """None: it does not consume yet."""
        return judge(self.text, monotonic()) if self.text else None

    def look(self) -> str:
        now = monotonic()
        if now - self._looked_at > ASLEEP_SECONDS:
            self._awake_at = now
        self._looked_at = now
        lines = [f"at {now:.3f}", f"awake {self._awake_at:.3f}"]
        if self._ping is not None:
            answers = self._ping.answers(now)
            lines.append(f"{'redis' if answers else 'away'} {self._unchanged('redis', answers, now):.3f}")
        if self._consumption.stopping:
            lines.append("stopping")
        bound = self._consumption.alive()
        since = self._unchanged("bound", bound, now)
        if not bound:
            lines.append(f"unbound {since:.3f}")
        intake = getattr(self._app, "intake", None)
        if intake is not None:
            lines += self._of_intake(intake, now, bound=bound)
        self.text = "\n".join([*lines, ""])
        return self.text

    def _unchanged(self, name: str, value: Any, now: float) -> float:
        """Since when it is what it is."""
        was = self._known.get(name)
        if was is None or was[0] != value:
            was = self._known[name] = (value, now)
        return was[1]

    def _of_intake(self, intake: Any, now: float, *, bound: bool) -> list[str]:
        if debugger.somebody_looks():  # it may stop any thread
            return ["degraded a debugger is attached"]
        lines = [f"guard {intake.guard.turned_at:.3f}" if intake.guard.alive else "guard dead"]
        # While it connects again, the loop does not turn. In the pool `solo`, a task runs in it.
        if bound and not (intake.runs_tasks_in_its_loop and intake.running()):
            lines.append(f"loop {intake.turned_at:.3f}")
        committer = intake.committer
        waits = not committer.everything_committed
        since = self._unchanged("commit", (waits, *vars(committer.counters).values()), now)
        if waits and not committer.refused:  # a Redis that takes no writes
            lines.append(f"commit {since:.3f}")
        if intake.pool is not None:
            stuck = [since for thread in intake.pool.threads if (since := self._outside(intake.pool, thread, now))]
            lines += [f"thread {min(stuck):.3f}"] if stuck else []
        for queue, full_at in list(intake.full.items()):
            if now - full_at < FULL_SECONDS:
                lines.append(f"degraded nothing is claimed from {queue}: its dead letters are at their bound")
        lines += [f"degraded {queue} is paused" for queue in intake.paused]
        refused = committer.refused or (intake.claims.refused if bound else "")
        if refused:
            lines.append(f"degraded Redis takes no writes: {' '.join(refused.split())[:200]}")
        return lines

    def _outside(self, pool: Any, thread: Any, now: float) -> float:
        """Since when this thread takes no message, though it should and runs none; 0.0: it does."""
        idle = not thread.busy and pool.unstarted <= 0
        fine = idle or thread.waiting or thread.running is not None
        since = self._unchanged(f"thread {thread.number}", (fine, thread.taken), now)
        return 0.0 if fine else since
