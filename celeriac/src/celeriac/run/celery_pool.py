"""One of Celery's own pools (prefork, solo), as the intake uses it."""

import os
import signal
from contextlib import suppress
from typing import Any


class CeleryPool:
    """Keeps the jobs of prefork's processes when the connection is lost.

    At the end of each connection, Celery's prefork pool forgets jobs that a process has got and has not yet said that
    it begins: Celery expects the broker to deliver those messages again. Ours does not, since this worker renews their
    leases. So those jobs stay, and the worker hears how they end."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._celerys = getattr(pool, "flush", None)
        if self._celerys is not None:
            pool.flush = self.flush

    @property
    def processes(self) -> int:
        return int(self._pool.num_processes)

    @property
    def solo(self) -> bool:
        """Whether it runs tasks in the thread that calls it."""
        return type(self._pool).__module__ == "celery.concurrency.solo"

    @property
    def stopped(self) -> bool:
        return not self._pool.active

    def kill(self) -> None:
        """End its processes, and what runs in them."""
        for process in getattr(getattr(self._pool, "_pool", None), "_pool", None) or []:
            with suppress(OSError):  # it has just ended
                os.kill(process.pid, signal.SIGKILL)

    def forget(self, known: set[str]) -> set[str]:
        """Forget the jobs that no process has got. `known`: ids of tasks that were handed over. Returns those of tasks
        that still run."""
        if self.stopped:
            return set()
        if self._celerys is None:  # this pool cannot tell
            return known
        self.flush()
        return {str(job.correlation_id) for job in self._jobs().values()}

    def flush(self) -> None:
        """Replaces the pool's own flush: keeps jobs that a process has got, which billiard shows in no public way."""
        jobs = self._jobs()
        sent = {number: job for number, job in jobs.items() if job._write_to and not job._accepted}  # noqa: SLF001
        assert self._celerys is not None
        self._celerys()
        jobs.update((number, job) for number, job in sent.items() if not job.ready())

    def _jobs(self) -> dict[Any, Any]:
        found: dict[Any, Any] = getattr(self._pool._pool, "_cache", {})  # noqa: SLF001  there is no public way
        return found
