"""Calls to Redis on behalf of somebody who waits: a caller hears from us within two seconds, whatever Redis does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from celeriac.http import faults
from celeriac.http.availability import Availability
from celeriac.http.faults import BrokerUnavailable

T = TypeVar("T")

# No network wait is longer. A publish that gets no answer is tried once more at once: 1 s in all. Who waits for a turn
# hears of a broker that fell silent when those before have given up.
PATIENCE_SECONDS = 0.5
# Of everything: also of what has no time-out, such as the resolution of names.
DEADLINE_SECONDS = 1.8
# Calls of one kind at the same time. When Redis falls silent, these are the publishes of which nobody knows whether
# they were accepted; all others certainly were not.
AT_ONCE = 16


class NoAnswer(TimeoutError):
    """The call began and did not end in time. It may end yet."""


class Calls:
    """Makes calls in threads of its own, a few at a time. Every thread may ask it. A call that fails because the broker
    is away tells `availability`."""

    def __init__(self, name: str, availability: Availability, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._availability = availability
        self._deadline_seconds = deadline_seconds
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=name)

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. Raises BrokerUnavailable for a call that was not begun, because the broker
        is known to be away or all threads are busy; NoAnswer for one that takes too long."""
        self._availability.check()
        running = self._threads.submit(self._begin, call)
        try:
            return running.result(self._deadline_seconds)
        except TimeoutError:
            if running.done():  # the call's own time-out, in the last moment
                return running.result()
        if running.cancel():
            raise BrokerUnavailable("is too busy to take it in time")
        self._availability.failed(faults.SILENT)
        raise NoAnswer(f"it {faults.SILENT}")

    def close(self) -> None:
        """Take no more calls; those that run go on."""
        self._threads.shutdown(wait=False)

    def _begin(self, call: Callable[[], T]) -> T:
        self._availability.check()  # it may have got lost while this call waited for its turn
        try:
            return call()
        except Exception as exc:
            # Here, not in the thread that waits for it: this thread takes the next call right now.
            if faults.away(exc):
                self._availability.failed(faults.reason(exc))
            raise
