"""The API on the session's Redis."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from celeriac.app.settings import CelerySettings
from celeriac.http.api import Api
from common_tasks.schemas import OrderPayload
from service1.api import create_api

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with the httpx that the other tests use
    from starlette.testclient import TestClient


@pytest.fixture
def api(redis_url: str) -> Iterator[Api]:
    made = create_api(CelerySettings(broker_url=redis_url))
    yield made
    made.broker.close()


@pytest.fixture
def client(api: Api) -> Iterator[TestClient]:
    with TestClient(api, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def placed(redis_server: Any) -> Callable[[], list[OrderPayload]]:
    """The orders that wait, oldest first."""

    def read() -> list[OrderPayload]:
        with redis.Redis(port=redis_server.port) as broker:
            messages = [json.loads(raw) for raw in reversed(broker.lrange("orders", 0, -1))]
        bodies = [json.loads(base64.b64decode(one["body"])) for one in messages]
        return [OrderPayload.model_validate(args[0]) for args, _, _ in bodies]

    return read


@pytest.fixture
def body() -> dict[str, Any]:
    return {
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}, {"product_id": "p-2", "quantity": 1}],
        "total_amount": "25.00",
        "priority": "HIGH",
    }
