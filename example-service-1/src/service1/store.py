"""Where the status of orders is kept: Celery's own result entries, in Redis."""

from collections import deque
from uuid import UUID

from redis.asyncio import Redis

from service1 import faults, results
from service1.orders import OrderStatus
from service1.patience import FAILURES, GRACE_SECONDS, PATIENCE_SECONDS, within


class Store:
    def __init__(self, client: Redis) -> None:
        self.client = client
        # Where results live apart from the broker: markers that may yet appear, of orders that were not accepted. A
        # Redis that was paused does what it was told when it wakes up.
        self._leftovers: deque[UUID] = deque(maxlen=10_000)

    async def mark(self, order_id: UUID) -> bool:
        """From here on the order is known: pending. False: it was known before."""
        marker = results.marker(order_id)
        try:
            set_once = self.client.set(results.key(order_id), marker, nx=True, ex=results.MARKER_SECONDS)
            return bool(await within(PATIENCE_SECONDS, set_once))
        except FAILURES as exc:
            if not faults.not_executed(exc):
                self._leftovers.append(order_id)
            raise

    async def unmark(self, order_id: UUID) -> None:
        """There is no such order after all. If it cannot be said now, it is said when the broker is back."""
        try:
            await within(GRACE_SECONDS, self.client.delete(results.key(order_id)))
        except FAILURES:
            self._leftovers.append(order_id)

    async def find(self, order_id: UUID) -> OrderStatus | None:
        raw = await within(PATIENCE_SECONDS, self.client.get(results.key(order_id)))
        return None if raw is None else results.read(order_id, raw)

    async def remove_leftovers(self) -> None:
        while self._leftovers:
            await within(PATIENCE_SECONDS, self.client.delete(results.key(self._leftovers[0])))
            self._leftovers.popleft()
