"""Whether the broker answers, remembered: after one failure nobody else waits for a time-out of their own."""

import threading
from collections.abc import Callable

import structlog

from celeriac.http import faults
from celeriac.http.faults import FAILURES, BrokerUnavailable

RETRY_SECONDS = 0.25  # how soon we notice that it is back

log = structlog.get_logger("celeriac.http.availability")


class Availability:
    """Safe in every thread. Once something failed, a thread looks until `ping` and `recovered` succeed; meanwhile
    `check` refuses at once."""

    def __init__(
        self, ping: Callable[[], None], recovered: Callable[[], None], retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._ping = ping
        self._recovered = recovered
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._closed = threading.Event()

    @property
    def reason(self) -> str | None:
        """Why the broker is known to be away; None: it is not."""
        return self._reason

    def check(self) -> None:
        """Raises BrokerUnavailable while the broker is known to be away."""
        if (reason := self._reason) is not None:
            raise BrokerUnavailable(reason)

    def failed(self, reason: str) -> None:
        """Something did not get through. The first one to notice starts the watch."""
        with self._lock:
            first = self._reason is None
            self._reason = reason
        if first and not self._closed.is_set():
            log.warning("broker.lost", reason=reason)
            threading.Thread(target=self._watch, name="availability", daemon=True).start()

    def close(self) -> None:
        """End the watch."""
        self._closed.set()

    def _watch(self) -> None:
        told = False
        while not self._closed.wait(self._retry_seconds):
            try:
                self._ping()
                self._recovered()
            except FAILURES as exc:
                self._reason = faults.reason(exc)
            except Exception as exc:  # a mistake of ours, say: if it ended this loop, all would be refused for ever
                if not told:
                    log.exception("broker.watch_failed", error=str(exc))
                told = True
            else:
                with self._lock:
                    self._reason = None
                log.info("broker.back")
                return
