"""The publishers: an order goes to the broker, or nothing of it does."""

import asyncio
from typing import Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis

from celeriac import errors as publishing
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.publish.announcement import tell_all
from celeriac.publish.attempts import Patience
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.publisher import AsyncPublisher
from celeriac.published import Published
from common_tasks.schemas import OrderPayload, OrderResult
from common_tasks.tasks import process_order
from service1 import faults, results
from service1.availability import Availability
from service1.errors import BrokerUnavailable, OutcomeUnknown, QueueFull, idempotency_conflict
from service1.orders import SERVICE, OrderStatus
from service1.patience import ATTEMPT_SECONDS, FAILURES, PATIENCE_SECONDS, TURN_SECONDS, within
from service1.redisclient import CONNECTIONS, connect
from service1.store import Store

# Publishing at the same time; the rest of the connections are for those who ask. When Redis falls silent, these are the
# orders of which nobody knows whether they were accepted; all others certainly were not.
PUBLISHING = CONNECTIONS // 2
# An answer that got lost is asked for once more.
TWICE = Patience(attempts=2)

log = structlog.get_logger("service1.handlers")


class Orders(Protocol):
    """What the API needs."""

    async def place(self, order: OrderPayload) -> bool:
        """Returns once the broker has it; False: it had it before. Raises BrokerUnavailable when nothing was accepted,
        ApiError when another order has its id."""

    async def find(self, order_id: UUID) -> OrderStatus | None:
        """How far it is; none if there is no such order."""

    async def check(self) -> None:
        """Raises BrokerUnavailable while no order could be placed."""


class BrokerOrders:
    """Orders that travel through the broker."""

    def __init__(
        self, broker: Redis, store: Store, publisher: AsyncPublisher, contract: Contract[OrderPayload, OrderResult]
    ) -> None:
        self._clients = {broker, store.client}
        self._apart = broker is not store.client  # else an order and its marker are one step
        self._store = store
        self._publisher = publisher
        self._contract = contract
        self._free = asyncio.Semaphore(PUBLISHING)
        self._availability = Availability(self._ping, store.remove_leftovers)

    async def place(self, order: OrderPayload) -> bool:
        self._availability.check()
        message = self._contract.message(order, b"" if self._apart else results.marker(order.task_id))
        marked = self._apart and await self._mark(order.task_id)
        try:
            became = await self._hand_over(message)
        except OutcomeUnknown:
            raise  # the order may be in the queue: its marker stays
        except Exception:
            if marked:
                await self._store.unmark(order.task_id)
            raise
        tell_all([message], became)
        return bool(became.accepted)

    async def find(self, order_id: UUID) -> OrderStatus | None:
        self._availability.check()
        try:
            return await self._store.find(order_id)
        except FAILURES as exc:
            raise self._lost(exc) from exc

    async def check(self) -> None:
        self._availability.check()
        try:
            await self._ping()
        except FAILURES as exc:
            raise self._lost(exc) from exc

    async def close(self) -> None:
        await self._availability.close()
        for client in self._clients:
            await client.aclose()

    async def _mark(self, order_id: UUID) -> bool:
        try:
            return await self._store.mark(order_id)
        except FAILURES as exc:
            raise self._lost(exc) from exc

    async def _hand_over(self, message: Outgoing) -> Published:
        try:
            await within(TURN_SECONDS, self._free.acquire())
        except TimeoutError:
            raise BrokerUnavailable("is too busy to take it in time") from None
        try:
            self._availability.check()  # it may have got lost while this order waited
            return await self._publisher.place(message)
        except publishing.QueueFull as exc:
            raise QueueFull(exc.retry_after_seconds) from exc
        except publishing.Conflict as exc:
            raise idempotency_conflict() from exc
        except publishing.OutcomeUnknown as exc:
            lost = self._lost(exc)
            log.error("order.outcome_unknown", task_id=message.task_id, reason=lost.reason)
            raise OutcomeUnknown(lost.reason, message.task_id) from exc
        except publishing.NotPublished as exc:
            raise self._lost(exc) from exc
        finally:
            self._free.release()

    async def _ping(self) -> None:
        for client in self._clients:
            await within(PATIENCE_SECONDS, client.ping())

    def _lost(self, error: BaseException) -> BrokerUnavailable:
        reason = faults.reason(error)
        if not faults.answered(error):
            self._availability.failed(reason)
        return BrokerUnavailable(reason)


def broker_orders(settings: CelerySettings) -> BrokerOrders:
    """Orders for this environment; connects with the first use."""
    app = make_app(SERVICE, settings, patience_seconds=PATIENCE_SECONDS)
    contract = process_order.bind(app)
    assert contract.payload_adapter is not None  # made now: the first order should not have to wait for it
    broker = connect(settings.broker_url, PATIENCE_SECONDS, app.conf.broker_transport_options)
    one_redis = settings.results_url == settings.broker_url
    results_client = (
        broker
        if one_redis
        else connect(settings.results_url, PATIENCE_SECONDS, app.conf.result_backend_transport_options)
    )
    publisher = AsyncPublisher(broker, settings.queue_bound, TWICE, attempt_seconds=ATTEMPT_SECONDS)
    return BrokerOrders(broker, Store(results_client), publisher, contract)
