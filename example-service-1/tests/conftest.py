"""An API with orders that live in memory, so that what HTTP does can be seen without a broker."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from common_tasks.schemas import OrderPayload
from service1.api import create_app
from service1.errors import BrokerUnavailable, idempotency_conflict
from service1.orders import OrderState, OrderStatus

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with the httpx that the other tests use
    from starlette.testclient import TestClient


@dataclass
class FakeOrders:
    placed: list[OrderPayload] = field(default_factory=list)
    statuses: dict[UUID, OrderStatus] = field(default_factory=dict)
    problem: Exception | None = None

    async def place(self, order: OrderPayload) -> bool:
        await self.check()
        known = next((one for one in self.placed if one.order_id == order.order_id), None)
        if known is not None:
            if known.model_copy(update={"timestamp": order.timestamp}) != order:
                raise idempotency_conflict()
            return False
        self.placed.append(order)
        self.statuses[order.order_id] = OrderStatus(order_id=order.order_id, status=OrderState.PENDING)
        return True

    async def find(self, order_id: UUID) -> OrderStatus | None:
        await self.check()
        return self.statuses.get(order_id)

    async def check(self) -> None:
        if self.problem:
            raise self.problem

    def lose_the_broker(self) -> None:
        self.problem = BrokerUnavailable("does not answer")


@pytest.fixture
def orders() -> FakeOrders:
    return FakeOrders()


@pytest.fixture
def client(orders: FakeOrders) -> Iterator[TestClient]:
    with TestClient(create_app(orders), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def body() -> dict[str, Any]:
    return {
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}, {"product_id": "p-2", "quantity": 1}],
        "total_amount": "25.00",
        "priority": "HIGH",
    }
