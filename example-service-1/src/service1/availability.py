"""Whether the broker answers, remembered: after one failure nobody else waits for a time-out of their own."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service1 import faults
from service1.errors import BrokerUnavailable
from service1.patience import FAILURES

RETRY_SECONDS = 0.25  # how soon we notice that it is back

log = structlog.get_logger("service1.availability")


class Availability:
    """Once something failed, watches until `ping` succeeds again; requests are refused at once meanwhile."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        recovered: Callable[[], Awaitable[None]],
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._ping = ping
        self._recovered = recovered
        self._retry_seconds = retry_seconds
        self._reason: str | None = None
        self._watch: asyncio.Task[None] | None = None

    def check(self) -> None:
        if self._reason is not None:
            raise BrokerUnavailable(self._reason)

    def failed(self, reason: str) -> None:
        """Something did not get through. The first one to notice starts the watch."""
        if self._reason is None:
            log.warning("broker.lost", reason=reason)
            self._watch = asyncio.create_task(self._watching())
        self._reason = reason

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _watching(self) -> None:
        told = False
        while True:
            await asyncio.sleep(self._retry_seconds)
            try:
                await self._ping()
                await self._recovered()
            except FAILURES as exc:
                self._reason = faults.reason(exc)
            except Exception as exc:  # a mistake of ours, say: whoever ends this loop refuses all orders for ever
                if not told:
                    log.exception("broker.watch_failed", error=str(exc))
                told = True
            else:
                self._reason = None
                log.info("broker.back")
                return
