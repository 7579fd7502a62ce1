"""Behind Sentinel, with passwords of both kinds: an order is placed and found."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from celeriac.app.settings import CelerySettings
from common_tasks.schemas import OrderItem, OrderPayload
from service1.handlers import broker_orders
from watched import MASTER, Watched, until

pytestmark = pytest.mark.integration


@pytest.fixture
def watched(redis_server: Any, tmp_path: Path) -> Any:
    made = Watched(redis_server.binary, tmp_path, password="p@:/;%", asked="of the sentinels")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def worker(watched: Watched, tmp_path: Path) -> Any:
    health = tmp_path / "health"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_", "LOG_"))}
    given = {**watched.environment, "WORKER_HEALTH_FILE": str(health)}
    process = subprocess.Popen([sys.executable, "-m", "worker.main"], env={**plain, **given})
    until(health.exists)
    yield process
    process.terminate()
    process.wait(20)


@pytest.mark.usefixtures("worker")
def test_an_order_is_placed_once_and_found(watched: Watched) -> None:
    asyncio.run(
        placed_and_found(
            CelerySettings(broker_url=watched.url, sentinel_master=MASTER, sentinel_password=watched.asked)
        )
    )


async def placed_and_found(settings: CelerySettings) -> None:
    orders = broker_orders(settings)
    payload = OrderPayload(
        task_id=uuid4(),
        source_service="test",
        customer_id="c-1",
        items=(OrderItem(product_id="p-1", quantity=2),),
        total_amount="12.50",
    )
    try:
        await orders.check()
        assert (await orders.place(payload), await orders.place(payload)) == (True, False)
        deadline = time.monotonic() + 10
        while (await orders.find(payload.task_id)).status != "succeeded":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    finally:
        await orders.close()
