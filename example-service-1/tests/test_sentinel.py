"""Behind Sentinel, with passwords of both kinds: an order is placed and found."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from celeriac.app.settings import CelerySettings
from service1.api import create_api
from watched import MASTER, Watched, until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with the httpx that the other tests use
    from starlette.testclient import TestClient

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
    settings = CelerySettings(broker_url=watched.url, sentinel_master=MASTER, sentinel_password=watched.asked)
    order = {"customer_id": "c-1", "items": [{"product_id": "p-1", "quantity": 2}], "total_amount": "12.50"}
    with TestClient(create_api(settings)) as client:
        assert 200 == client.get("/ready").status_code
        key = {"Idempotency-Key": "the same"}
        answers = [client.post("/api/orders", json=order, headers=key) for _ in range(2)]
        assert [202, 202] == [one.status_code for one in answers]
        (where,) = {one.headers["location"] for one in answers}
        until(lambda: "succeeded" == client.get(where).json()["status"])
