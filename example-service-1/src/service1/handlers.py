"""The publishers: an order goes to the broker, or nothing of it does."""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis

from common_tasks.celery_app import make_app
from common_tasks.contract import Contract
from common_tasks.schemas import OrderPayload, OrderResult
from common_tasks.settings import CelerySettings
from common_tasks.tasks import process_order
from service1 import faults
from service1.availability import Availability
from service1.errors import BrokerUnavailable, OutcomeUnknown
from service1.orders import SERVICE, OrderStatus
from service1.patience import FAILURES, GRACE_SECONDS, PATIENCE_SECONDS, done, within
from service1.redisclient import connect
from service1.store import Store

# Publishing is a few calls into Celery that hold the interpreter's lock; more threads only wait for each other.
PUBLISHERS = 4

log = structlog.get_logger("service1.handlers")


class Orders(Protocol):
    """What the API needs."""

    async def place(self, order: OrderPayload) -> None:
        """Returns once the broker has confirmed; raises BrokerUnavailable when nothing was accepted."""

    async def find(self, order_id: UUID) -> OrderStatus | None:
        """How far it is; none if there is no such order."""

    async def check(self) -> None:
        """Raises BrokerUnavailable while no order could be placed."""


class BrokerOrders:
    """Orders that travel through the broker."""

    def __init__(self, broker: Redis, store: Store, publish: Callable[[OrderPayload], Any]) -> None:
        self._clients = {broker, store.client}  # one, where broker and results share it
        self._store = store
        self._publish = publish
        self._threads = ThreadPoolExecutor(PUBLISHERS, thread_name_prefix="publish")
        self._availability = Availability(self._ping, store.remove_leftovers)

    async def place(self, order: OrderPayload) -> None:
        self._availability.check()
        # First the marker: where the broker is dead, paused or full, this fails, and no order has left the house.
        try:
            await self._store.mark(order.task_id)
        except FAILURES as exc:
            raise self._lost(exc) from exc
        try:
            await self._hand_over(order)
        except OutcomeUnknown:
            raise  # the order may be in the queue: its marker stays
        except BrokerUnavailable:
            await self._store.unmark(order.task_id)
            raise

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
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients:
            await client.aclose()

    async def _hand_over(self, order: OrderPayload) -> None:
        context = contextvars.copy_context()  # the correlation id goes along
        job = self._threads.submit(context.run, self._send, order)
        try:
            await _sent(job)
        except FAILURES as exc:
            lost = self._lost(exc)
            if faults.not_executed(exc):
                raise lost from exc
            log.error("order.outcome_unknown", task_id=str(order.task_id), reason=lost.reason)
            raise OutcomeUnknown(lost.reason, str(order.task_id)) from exc

    def _send(self, order: OrderPayload) -> None:
        self._availability.check()  # it may have got lost while this order waited for a thread
        self._publish(order)

    async def _ping(self) -> None:
        for client in self._clients:
            await within(PATIENCE_SECONDS, client.ping())

    def _lost(self, error: BaseException) -> BrokerUnavailable:
        reason = faults.reason(error)
        if not faults.answered(error):
            self._availability.failed(reason)
        return BrokerUnavailable(reason)


async def _sent(job: Future[None]) -> None:
    """Returns when the broker has the message."""
    try:
        await done(job, PATIENCE_SECONDS)
    except TimeoutError:
        if job.done():
            raise
        if job.cancel():  # no thread was free for it
            raise BrokerUnavailable("is too busy to take it in time") from None
        await done(job, GRACE_SECONDS)


def broker_orders(settings: CelerySettings) -> BrokerOrders:
    """Orders for this environment; connects with the first use."""
    app = make_app(SERVICE, settings, patience_seconds=PATIENCE_SECONDS)
    contract = process_order.bind(app)
    load(contract)
    broker = connect(settings.broker_url, PATIENCE_SECONDS)
    one_redis = settings.results_url == settings.broker_url
    results = broker if one_redis else connect(settings.results_url, PATIENCE_SECONDS)
    return BrokerOrders(broker, Store(results), contract.apply_async)


def load(contract: Contract[OrderPayload, OrderResult]) -> None:
    """What Celery puts off until the first message; the first order should not have to wait for it."""
    app = contract.app
    app.finalize()
    parts = (app.backend, app.amqp.producer_pool, app.connection_for_write().transport, contract.payload_adapter)
    assert all(part is not None for part in parts)
