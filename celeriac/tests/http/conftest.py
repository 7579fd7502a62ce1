"""The API of the post office (lib/post_office.py), on a real Redis."""

import asyncio
import json
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI

from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.http.api import Api
from post_office import PATH, Letter, Posted, letters, post_letter

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with the httpx that the other tests use
    from starlette.testclient import TestClient


class Shop:
    """A running API and the ways to ask it."""

    def __init__(self, http: httpx.AsyncClient, api: Api, body: dict[str, Any]) -> None:
        self.http, self.api, self.body = http, api, body

    async def place(self, key: str = "", headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key, **(headers or {})} if key else headers or {}
        return await self.http.post(PATH, json=self.body | changes, headers=headers)

    async def timed(self, ask: Callable[[], Coroutine[Any, Any, httpx.Response]] | None = None) -> Any:
        """The answer, and after how many seconds it came."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        return await (ask or self.place)(), loop.time() - started

    async def crowd(self, size: int = 60) -> tuple[set[int], float]:
        answers = await asyncio.gather(*(self.timed() for _ in range(size)))
        return {answer.status_code for answer, _ in answers}, max(seconds for _, seconds in answers)

    async def ready_again(self) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (await self.http.get("/ready")).status_code != 200:
            assert loop.time() - started < 5
            await asyncio.sleep(0.02)
        return loop.time() - started


Story = Callable[[Shop], Coroutine[Any, Any, None]]


@pytest.fixture
def body() -> dict[str, Any]:
    return {"recipient": "Anna", "pages": [{"lines": 2}]}


@pytest.fixture
def tell(body: dict[str, Any]) -> Callable[..., None]:
    """Runs a story on an API with this broker."""

    def run(url: str, story: Story, **settings: Any) -> None:
        async def with_shop() -> None:
            api = letters(CelerySettings(broker_url=url, **settings))
            transport = httpx.ASGITransport(api)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop", timeout=10) as http:
                try:
                    await story(Shop(http, api, body))
                finally:
                    await asyncio.to_thread(api.broker.close)

        asyncio.run(with_shop())

    return run


@pytest.fixture
def contract() -> Contract[Letter, Posted]:
    return post_letter


@pytest.fixture
def api(redis_url: str) -> Iterator[Api]:
    made = letters(CelerySettings(broker_url=redis_url))
    yield made
    made.broker.close()


@pytest.fixture
def client(api: FastAPI) -> Iterator[TestClient]:
    with TestClient(api, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def queued(redis_server: Any) -> Callable[..., list[dict[str, Any]]]:
    """The messages that wait."""

    def read(server: Any = redis_server) -> list[dict[str, Any]]:
        with redis.Redis(port=server.port) as client:
            return [json.loads(raw) for raw in client.lrange("letters", 0, -1)]

    return read


@pytest.fixture
def markers(redis_server: Any) -> Callable[..., list[bytes]]:
    """The result entries that there are."""

    def read(server: Any = redis_server) -> list[bytes]:
        with redis.Redis(port=server.port) as client:
            return client.keys("celery-task-meta-*")

    return read
