"""Watches over the task threads: renews leases, enforces time limits, gives back messages that others can start
sooner."""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any

from redis.exceptions import RedisError

from celeriac.events import emit
from celeriac.lease.starts import PROVEN
from celeriac.outcome.committer import Committer
from celeriac.run.pool import Running, Seat, TaskPool

TICK_SECONDS = 0.1
LONG_SECONDS = 0.2  # a body that runs longer is shown: as STARTED, in `inspect active`
# If every thread runs a body for longer than this, the claimed messages that wait go back: another worker could start
# them now.
HOARD_SECONDS = 0.1
EXIT_TIME_LIMIT = 70


class Guard:
    """It has a thread of its own, so that leases are renewed for as long as the process lives, whatever tasks do."""

    def __init__(
        self,
        pool: TaskPool,
        committer: Committer,
        *,
        restore: Callable[[], Any],
        show: Callable[[Running], None],
        restore_seconds: float,
        revocations: Callable[[float], None] = lambda now: None,
    ) -> None:
        self._pool, self._committer = pool, committer
        self._restore, self._show = restore, show
        self._restore_seconds = restore_seconds
        self._revocations = revocations
        self._renew_seconds = committer.lease_us / 4e6
        self._renew_at = self._restore_at = 0.0
        self._told = False
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="guard", daemon=True).start()

    def finish(self, seconds: float, culprits: Iterable[Running] = ()) -> bool:
        """At a stop: commit what is finished, and give the rest back. Only the starts of the culprits count: a worker
        that is stopped did not die. Returns whether Redis has answered for all that was finished."""
        settled = self._committer.drain(seconds)
        self._committer.release([one.tag for one in culprits], started=True)
        self._committer.release(list(self._committer.held))
        self._ended.set()
        return settled

    def _run(self) -> None:
        tick = min(TICK_SECONDS, self._renew_seconds / 2)
        while not self._ended.wait(tick):
            try:
                self._look(monotonic())
                self._told = False
            except (RedisError, OSError) as exc:  # Redis is away: leases are renewed when it is back
                if not self._told:
                    emit("guard.broker_away", level=logging.WARNING, error=str(exc))
                self._told = True
            except Exception as exc:  # without the guard, all leases of this worker would end
                emit("guard.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
                sleep(1)

    def _look(self, now: float) -> None:
        self._limits(now)
        self._threads()
        self._committer.flush()
        self._committer.settle()
        self._alone(now)
        if now >= self._renew_at and self._committer.renew():
            self._renew_at = now + self._renew_seconds
        self._revocations(now)
        if now >= self._restore_at:
            self._restore_at = now + self._restore_seconds
            self._restore()
        for seat in self._pool.seats:
            self._long(seat, now)
        self._hoarded(now)

    def _limits(self, now: float) -> None:
        culprits = []
        for seat in self._pool.seats:
            running = seat.running
            if running is None:
                continue
            ran = now - running.since
            if running.soft and ran > running.soft and not running.interrupted:
                running.interrupted = self._pool.interrupt(seat, running)
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
        self.finish(1.0, culprits)
        os._exit(EXIT_TIME_LIMIT)

    def _threads(self) -> None:
        """Replace a task thread that died, and give its messages back: else their leases would be renewed for ever."""
        for seat in self._pool.seats:
            if seat.thread is None or seat.thread.is_alive():
                continue
            tags = self._pool.lost(seat)
            emit("thread.died", level=logging.ERROR, thread=seat.thread.name, messages=len(tags))
            self._pool.begin(seat)
            self._pool.release(tags, started=True)

    def _alone(self, now: float) -> None:
        """A message has run alone for long enough: the other threads start tasks again. From then on a death of this
        worker proves nothing against that message."""
        alone = self._pool.alone
        if alone is not None and now > alone.until:
            self._committer.started(alone.tag, by=-PROVEN)
            self._pool.end_alone(alone)

    def _long(self, seat: Seat, now: float) -> None:
        running = seat.running
        if running is None:
            return
        if now - running.since > LONG_SECONDS and not running.shown:
            running.show()
            if seat.running is not running:  # it ended just now
                running.hide()
                return
            self._show(running)

    def _hoarded(self, now: float) -> None:
        """Give back what waits, if every thread runs a long body: another worker could start it now."""
        pool = self._pool
        ran = [now - running.since for seat in pool.seats if (running := seat.running) is not None]
        if pool.unstarted <= 0 or len(ran) < len(pool.seats) or min(ran) < HOARD_SECONDS:
            return
        for seat, seconds in zip(pool.seats, ran, strict=True):
            seat.seconds = max(seat.seconds, seconds)  # a claim asks for less from here on
        pool.give_back()
