"""Whether this service does its work: its broker answers, and it is bound to its queues."""

import os
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

REMEMBERED_SECONDS = 0.5


class NotReady(Exception):
    """Why; to be shown."""


class Readiness:
    def __init__(self, ping: Callable[[], None], consuming: Callable[[], bool], queues: Sequence[str]) -> None:
        self._ping = ping
        self._consuming = consuming
        self.queues = queues
        self._lock = Lock()
        self._answered_at = float("-inf")
        self._problem: str | None = None

    def check(self) -> None:
        """Raises NotReady. Many who ask at once cost one look at the broker."""
        with self._lock:
            if monotonic() - self._answered_at > REMEMBERED_SECONDS:
                self._problem = self._look()
                self._answered_at = monotonic()
            problem = self._problem
        if problem:
            raise NotReady(problem)

    def stay_out_of_forks(self) -> None:
        """A pool that forks in the middle of a look would give its child the locks that the look holds just then (name
        resolution, imports), and nobody to release them. So forks wait until a look is over."""
        release = self._lock.release
        os.register_at_fork(before=self._lock.acquire, after_in_parent=release, after_in_child=release)

    def _look(self) -> str | None:
        try:
            self._ping()
        except TimeoutError:
            return "the broker does not answer"
        except ConnectionError:
            return "the broker cannot be reached"
        if not self._consuming():
            return f"not bound to {', '.join(self.queues)}: still connecting, or stopping"
        return None


def broker_ping(app: Celery) -> Callable[[], None]:
    """Asks on a connection of its own: the consumer's is busy waiting for messages."""

    def ping() -> None:
        try:
            with app.connection_for_read() as connection:
                assert connection.default_channel is not None  # greets and pings
        except (KombuError, RedisError, OSError) as exc:
            seen: BaseException | None = exc
            while seen is not None:
                if "timeout" in type(seen).__name__.lower():
                    raise TimeoutError from exc
                seen = seen.__cause__
            raise ConnectionError from exc

    return ping
