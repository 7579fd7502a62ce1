"""Watches over the task threads: renews leases, enforces time limits, gives back messages that others can start
sooner."""

import logging
import os
import threading
from collections.abc import Callable
from math import inf
from time import monotonic, sleep
from typing import Any

from redis.exceptions import RedisError

from celeriac import debugger
from celeriac.events import emit
from celeriac.lease.leases import Leases
from celeriac.lease.starts import PROVEN
from celeriac.outcome.commit import Said
from celeriac.outcome.committer import Committer
from celeriac.outcome.progress import PAUSE_SECONDS
from celeriac.run.pool import TaskPool
from celeriac.run.threads import Running, TaskThread

TICK_SECONDS = 0.1
MOST_WORDS = 100  # a second, of progress, of all tasks together: each is a call of its own
LONG_SECONDS = 0.2  # a body that runs longer is shown: as STARTED, in `inspect active`
# If every thread runs a body for longer than this, the claimed messages that wait go back: another worker could start
# them now.
LONG_FOR_ALL_SECONDS = 0.1
EXIT_TIME_LIMIT = 70


class Guard:
    """It has a thread of its own, so that leases are renewed for as long as the process lives, whatever tasks do.

    It looks ten times a second. While this worker holds no message, it sleeps until Redis is to be read. All work
    begins with a claimed message, so whoever hands those out calls `wake`, and does it after they are held."""

    def __init__(
        self,
        pool: TaskPool,
        committer: Committer,
        leases: Leases,
        *,
        restore: Callable[[], Any],
        show: Callable[[Running], None],
        tell: Callable[[Running, Said], bool] = lambda running, said: True,
        restore_seconds: float,
        revocations: Callable[[float], float] = lambda now: inf,
    ) -> None:
        """`tell` sends what a body says of its progress; False: Redis is away. `revocations(now)` returns when it is to
        be called again. All times are those of the monotonic clock."""
        self._pool, self._committer, self._leases = pool, committer, leases
        self._restore, self._show, self._tell = restore, show, tell
        self._restore_seconds = restore_seconds
        self._revocations = revocations
        self._renew_seconds = leases.lease_us / 4e6
        self._renew_at = self._restore_at = self._revocations_at = self._limits_at = 0.0
        self._away_logged = False
        self._ended = threading.Event()
        self._woken = threading.Event()
        self._worked = False  # a message was handed out since the last look
        self.asleep = False
        self.turned_at = monotonic()
        self._thread = debugger.goes_on(threading.Thread(target=self._run, name="guard", daemon=True))

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Its thread ends; leases are renewed no more."""
        self._ended.set()
        self._woken.set()

    def wake(self) -> None:
        """There is something to watch over; for all threads."""
        self._worked = True
        if self.asleep:
            self._woken.set()

    def _run(self) -> None:
        tick = min(TICK_SECONDS, self._renew_seconds / 2)
        rested = False
        while not self._ended.wait(0.0 if rested else tick):
            rested = False
            self.turned_at = monotonic()
            try:
                self._look(monotonic())
                self._away_logged = False
                rested = self._rest()
            except (RedisError, OSError) as exc:  # Redis is away: leases are renewed when it is back
                if not self._away_logged:
                    emit("guard.broker_away", level=logging.WARNING, error=str(exc))
                self._away_logged = True
            except Exception as exc:  # without the guard, all leases of this worker would end
                emit("guard.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
                sleep(1)

    def _rest(self) -> bool:
        """Sleep while there is nothing to watch over. A message that comes right after another one finds the guard
        awake: to wake it takes time from the message. Returns whether it slept and nobody woke it."""
        self._woken.clear()
        self.asleep = True  # first: whoever hands out a message after the look at them sees this
        try:
            worked, self._worked = self._worked, False
            if not worked and self._has_nothing() and not self._ended.is_set():
                return not self._woken.wait(min(self._restore_at, self._revocations_at) - monotonic())
        finally:
            self.asleep = False
        return False

    def _has_nothing(self) -> bool:
        pool = self._pool
        if self._leases.held or pool.unstarted or pool.exclusive.current is not None:
            return False
        return not any(thread.busy for thread in pool.threads) and self._committer.idle

    def _look(self, now: float) -> None:
        self._limits(now)
        self._threads()
        self._committer.flush()
        self._committer.read_answers()
        self._alone(now)
        if now >= self._renew_at and self._leases.renew():
            self._renew_at = now + self._renew_seconds
        self._revocations_at = self._revocations(now)
        if now >= self._restore_at:
            self._restore_at = now + self._restore_seconds
            self._restore()
        for thread in self._pool.threads:
            self._long(thread, now)
        self._waiting(now)
        for thread in self._pool.threads:
            self._progress(thread, now)

    def _limits(self, now: float) -> None:
        culprits = []
        last, self._limits_at = self._limits_at, now
        looks = debugger.somebody_looks()
        for thread in self._pool.threads:
            running = thread.running
            if running is None:
                continue
            if looks:  # at a breakpoint, say: this time does not count
                looked = now - max(last, running.since)
                running.soft, running.hard = (limit and limit + looked for limit in (running.soft, running.hard))
                continue
            ran = now - running.since
            if running.soft and ran > running.soft and not running.interrupted:
                running.interrupted = self._pool.interrupt(thread, running)
            if running.hard and ran > running.hard:
                culprits.append(running)
        if culprits:
            self._end(culprits, now)

    def _end(self, culprits: list[Running], now: float) -> None:
        """End the process, since a thread cannot be ended. Finished outcomes are committed before; the rest goes
        back."""
        for running in culprits:
            emit(
                "task.time_limit",
                level=logging.ERROR,
                task=running.task.name,
                task_id=running.id,
                run_seconds=round(now - running.since, 3),
            )
        self._pool.stopping = True
        self._pool.give_back()
        self._committer.shut_down(1.0, culprits=[one.tag for one in culprits])
        os._exit(EXIT_TIME_LIMIT)

    def _threads(self) -> None:
        """Replace a task thread that died, and give its messages back: else their leases would be renewed for ever."""
        for thread in self._pool.threads:
            if thread.python_thread is None or thread.python_thread.is_alive():
                continue
            tags = self._pool.lost(thread)
            emit("thread.died", level=logging.ERROR, thread=thread.python_thread.name, messages=len(tags))
            self._pool.begin(thread)
            self._pool.release(tags, started=True)

    def _alone(self, now: float) -> None:
        """A message has run alone for long enough: the other threads start tasks again. From then on a death of this
        worker proves nothing against that message."""
        alone = self._pool.exclusive.current
        if alone is not None and now > alone.until:
            self._leases.started(alone.tag, by=-PROVEN, told=False)
            self._pool.exclusive.end(alone)

    def _long(self, thread: TaskThread, now: float) -> None:
        running = thread.running
        if running is None:
            return
        if now - running.since > LONG_SECONDS and not running.shown:
            running.show()
            if thread.running is not running:  # it ended just now
                running.hide()
                return
            self._show(running)

    def _progress(self, thread: TaskThread, now: float) -> None:
        running = thread.running
        said = None if running is None or running.commit is None else running.commit.said
        if running is None or said is None or said is running.told:
            return
        pause = max(PAUSE_SECONDS, len(self._pool.threads) / MOST_WORDS)
        if now - running.told_at >= pause and self._tell(running, said):
            running.told, running.told_at = said, now

    def _waiting(self, now: float) -> None:
        """Give back what waits, if every thread runs a long body: another worker could start it now."""
        pool = self._pool
        ran = [now - running.since for thread in pool.threads if (running := thread.running) is not None]
        if pool.unstarted <= 0 or len(ran) < len(pool.threads) or min(ran) < LONG_FOR_ALL_SECONDS:
            return
        for thread, seconds in zip(pool.threads, ran, strict=True):
            thread.seconds = max(thread.seconds, seconds)  # a claim asks for less from here on
        pool.give_back(why="all threads of its worker run long tasks")
