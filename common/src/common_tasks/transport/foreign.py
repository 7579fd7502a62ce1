"""A pool of Celery's own, as an intake sees it: prefork, solo."""

import os
import signal
from contextlib import suppress
from typing import Any


class Foreign:
    """At the end of each connection, Celery's prefork pool forgets what its processes have got and have not yet said
    that they begin: a broker would send those messages again. Ours would not. Their claims are held, and renewed, by
    this very process; so what a process has got is kept here, and its end is heard."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._celerys = getattr(pool, "flush", None)
        if self._celerys is not None:
            pool.flush = self.flush

    @property
    def processes(self) -> int:
        return int(self._pool.num_processes)

    @property
    def stopped(self) -> bool:
        return not self._pool.active

    def kill(self) -> None:
        """End its processes, and what runs in them."""
        for process in getattr(getattr(self._pool, "_pool", None), "_pool", None) or []:
            with suppress(OSError):  # it has just ended
                os.kill(process.pid, signal.SIGKILL)

    def forget(self, known: set[str]) -> set[str]:
        """Forget what no process has got; the ids of these known tasks that will end."""
        if self.stopped:
            return set()
        if self._celerys is None:  # nobody can say
            return known
        self.flush()
        return {str(job.correlation_id) for job in self._jobs().values()}

    def flush(self) -> None:
        """In place of the pool's own."""
        jobs = self._jobs()
        sent = {number: job for number, job in jobs.items() if job._write_to and not job._accepted}  # noqa: SLF001
        assert self._celerys is not None
        self._celerys()
        jobs.update((number, job) for number, job in sent.items() if not job.ready())

    def _jobs(self) -> dict[Any, Any]:
        found: dict[Any, Any] = getattr(self._pool._pool, "_cache", {})  # noqa: SLF001  there is no public way
        return found
