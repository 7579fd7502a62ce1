"""The API on a real Redis that dies, freezes, refuses, and comes back."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from common_tasks.settings import CelerySettings
from service1 import handlers, patience, results
from service1.api import create_app
from service1.handlers import BrokerOrders, broker_orders
from service1.orders import OrderRequest

pytestmark = pytest.mark.integration

PATH = "/api/orders"
SOON = 2.0  # a caller never waits longer


class Shop:
    """A running API and the ways to ask it."""

    def __init__(self, http: httpx.AsyncClient, orders: BrokerOrders, body: dict[str, Any]) -> None:
        self.http, self.orders, self.body = http, orders, body

    async def place(self) -> httpx.Response:
        return await self.http.post(PATH, json=self.body)

    async def place_timed(self) -> tuple[int, float]:
        started = time.perf_counter()
        return (await self.place()).status_code, time.perf_counter() - started

    async def crowd(self, size: int = 100) -> tuple[set[int], float]:
        answers = await asyncio.gather(*(self.place_timed() for _ in range(size)))
        return {status for status, _ in answers}, max(seconds for _, seconds in answers)

    async def ready_again(self) -> float:
        started = time.perf_counter()
        while (await self.http.get("/ready")).status_code != 200:
            assert time.perf_counter() - started < 5
            await asyncio.sleep(0.02)
        return time.perf_counter() - started


Story = Callable[[Shop], Coroutine[Any, Any, None]]


@pytest.fixture
def tell(body: dict[str, Any]) -> Callable[[str, Story], None]:
    """Runs a story on an API with this broker."""

    def run(url: str, story: Story, **settings: Any) -> None:
        async def with_shop() -> None:
            orders = broker_orders(CelerySettings(broker_url=url, **settings))
            transport = httpx.ASGITransport(create_app(orders))
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
                try:
                    await story(Shop(http, orders, body))
                finally:
                    await orders.close()

        asyncio.run(with_shop())

    return run


def queued(server: Any) -> list[dict[str, Any]]:
    with redis.Redis(port=server.port) as client:
        return [json.loads(raw) for raw in client.lrange("orders", 0, -1)]


def markers(server: Any) -> list[bytes]:
    with redis.Redis(port=server.port) as client:
        return client.keys("celery-task-meta-*")


def test_an_accepted_order_is_in_its_queue_and_known(redis_server, redis_url, tell):
    async def story(shop):
        answer = await shop.http.post(PATH, json=shop.body, headers={"X-Correlation-ID": "shop-42"})
        order_id = answer.json()["order_id"]
        message = queued(redis_server)[0]

        assert 202 == answer.status_code
        assert (order_id, "tasks.process_order", "shop-42") == (
            message["headers"]["id"],
            message["headers"]["task"],
            message["headers"]["x_correlation_id"],
        )
        assert not message["headers"]["ignore_result"]
        assert "pending" == (await shop.http.get(answer.headers["location"])).json()["status"]

    tell(redis_url, story)


def test_the_marker_expires_and_never_overwrites_what_a_worker_wrote(redis_server, redis_url, tell):
    async def story(shop):
        order_id = (await shop.place()).json()["order_id"]
        with redis.Redis(port=redis_server.port) as client:
            assert 0 < client.ttl(f"celery-task-meta-{order_id}") <= results.MARKER_SECONDS
        known = uuid4()
        with redis.Redis(port=redis_server.port) as client:
            client.set(results.key(known), json.dumps({"status": "STARTED"}))
            await shop.orders._store.mark(known)
            assert "STARTED" == json.loads(client.get(results.key(known)))["status"]

    tell(redis_url, story)


def test_publishing_leaves_no_subscription_behind(redis_server, redis_url, tell):
    async def story(shop):
        await asyncio.gather(*(shop.place() for _ in range(20)))
        with redis.Redis(port=redis_server.port) as client:
            assert [] == client.pubsub_channels()

    tell(redis_url, story)


def test_asking_costs_one_get(redis_server, redis_url, tell):
    async def story(shop):
        location = (await shop.place()).headers["location"]
        with redis.Redis(port=redis_server.port) as client:
            before = client.info("commandstats")
            for _ in range(5):
                await shop.http.get(location)
            after = client.info("commandstats")
        calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}

        assert {"cmdstat_get": 5} == {name: count for name, count in calls.items() if count and name != "cmdstat_info"}

    tell(redis_url, story)


def test_a_dead_broker_is_told_at_once_to_everybody_and_found_again(redis_to_break, tell):
    async def story(shop):
        assert 202 == (await shop.place()).status_code
        redis_to_break.stop()
        statuses, slowest = await shop.crowd()

        assert ({503}, True) == (statuses, slowest < SOON)
        assert [503, 200] == [(await shop.http.get(path)).status_code for path in ("/ready", "/health")]

        redis_to_break.start()
        assert await shop.ready_again() < 2
        statuses, _ = await shop.crowd(20)
        assert {202} == statuses
        assert 20 == len(queued(redis_to_break))

    tell(redis_to_break.url, story)


def test_a_broker_that_was_never_there_is_found_when_it_comes(redis_to_break, tell):
    redis_to_break.stop()

    async def story(shop):
        assert 503 == (await shop.place()).status_code
        redis_to_break.start()
        await shop.ready_again()
        assert 202 == (await shop.place()).status_code

    tell(redis_to_break.url, story)


@pytest.mark.parametrize("warm", [True, False])
def test_a_frozen_broker_hangs_nobody_and_nothing_is_half_accepted(redis_to_break, tell, warm):
    async def story(shop):
        if warm:
            await shop.crowd(20)
        known = len(queued(redis_to_break)), len(markers(redis_to_break))
        redis_to_break.pause()
        statuses, slowest = await shop.crowd()
        later, second = await shop.crowd()
        started = time.perf_counter()
        probes = [(await shop.http.get(path)).status_code for path in ("/ready", "/health", f"{PATH}/{uuid4()}")]
        probed = time.perf_counter() - started
        redis_to_break.resume()

        assert ({503}, True) == (statuses, slowest < SOON)
        assert ({503}, True) == (later, second < 0.5)
        assert ([503, 200, 503], True) == (probes, probed < SOON)

        assert await shop.ready_again() < 2
        assert known == (len(queued(redis_to_break)), len(markers(redis_to_break)))
        assert 202 == (await shop.place()).status_code

    tell(redis_to_break.url, story)


def test_the_first_order_after_a_restart_is_accepted(redis_to_break, tell):
    async def story(shop):
        await shop.crowd(20)
        redis_to_break.stop()
        redis_to_break.start()  # nobody asked meanwhile: all connections are dead, and nobody knows
        statuses, _ = await shop.crowd(20)

        assert {202} == statuses

    tell(redis_to_break.url, story)


@pytest.mark.parametrize(
    ("commands", "word"),
    [
        (["CONFIG SET maxmemory 1"], "OOM"),
        (["CONFIG SET min-replicas-to-write 1"], "NOREPLICAS"),
        (["REPLICAOF 127.0.0.1 1"], "READONLY"),
        (["ACL SETUSER default -set"], "NOPERM"),
    ],
)
def test_a_broker_that_refuses_is_told_with_its_reason(redis_to_break, tell, commands, word):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            for command in commands:
                client.execute_command(*command.split())
        answer = await shop.place()
        statuses, slowest = await shop.crowd(50)

        assert (503, "broker_unavailable") == (answer.status_code, answer.json()["error"])
        assert f"({word})" in answer.json()["message"]
        assert ({503}, True) == (statuses, slowest < SOON)
        assert 1 == len(queued(redis_to_break)) == len(markers(redis_to_break))

    tell(redis_to_break.url, story)


def test_a_broker_that_wants_a_password_is_told_without_it(redis_to_break, tell):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            client.execute_command("CONFIG", "SET", "requirepass", "hunter2")
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        answer = await shop.place()

        assert 503 == answer.status_code
        assert "credentials" in answer.json()["message"]
        assert "(NOAUTH)" not in answer.text

    tell(redis_to_break.url, story)


def test_an_order_that_the_queue_refuses_is_not_known_either(redis_to_break, tell):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            client.execute_command("ACL", "SETUSER", "default", "-lpush")
        answer = await shop.place()

        assert (503, "broker_unavailable") == (answer.status_code, answer.json()["error"])
        assert 1 == len(queued(redis_to_break)) == len(markers(redis_to_break))

    tell(redis_to_break.url, story)


def test_an_order_whose_confirmation_never_comes_is_told_as_unknown_and_stays_known(redis_to_break, tell, monkeypatch):
    sent: list[UUID] = []

    async def story(shop):
        await shop.place()
        publish = shop.orders._publish

        def freeze_then_publish(order):
            sent.append(order.order_id)
            redis_to_break.pause()
            publish(order)

        monkeypatch.setattr(shop.orders, "_publish", freeze_then_publish)
        started = time.perf_counter()
        answer = await shop.place()
        seconds = time.perf_counter() - started
        monkeypatch.undo()
        redis_to_break.resume()

        assert (503, "outcome_unknown", str(sent[0])) == (
            answer.status_code,
            *(answer.json()[k] for k in ("error", "order_id")),
        )
        assert seconds < SOON
        await shop.ready_again()
        assert "pending" == (await shop.http.get(f"{PATH}/{sent[0]}")).json()["status"]

    tell(redis_to_break.url, story)


def test_a_thread_that_publishes_into_a_frozen_broker_is_free_again_soon(redis_to_break, tell, body):
    async def story(shop):
        await shop.place()
        redis_to_break.pause()
        started = time.perf_counter()
        with pytest.raises(patience.FAILURES):
            shop.orders._publish(OrderRequest(**body).payload())
        seconds = time.perf_counter() - started
        redis_to_break.resume()

        assert seconds < SOON

    tell(redis_to_break.url, story)


def test_while_all_publishing_threads_are_stuck_others_hear_that_it_is_busy(redis_server, redis_url, tell, monkeypatch):
    async def story(shop):
        await shop.place()
        publish, gate = shop.orders._publish, asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(order):
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            publish(order)

        monkeypatch.setattr(shop.orders, "_publish", slow)
        stuck = [asyncio.create_task(shop.place_timed()) for _ in range(handlers.PUBLISHERS)]
        await asyncio.sleep(0.1)
        status, seconds = await shop.place_timed()
        health = (await shop.http.get("/health")).status_code
        gate.set()
        others = {answer[0] for answer in await asyncio.gather(*stuck)}

        assert (503, True, 200) == (status, seconds < SOON, health)
        assert {202} == others  # slow, but their message was on its way
        assert 1 + handlers.PUBLISHERS == len(queued(redis_server)) == len(markers(redis_server))

    tell(redis_url, story)


def test_results_may_live_in_another_redis(redis_to_break, redis_url, tell):
    async def story(shop):
        location = (await shop.place()).headers["location"]
        assert 200 == (await shop.http.get(location)).status_code
        assert 1 == len(markers(redis_to_break))
        redis_to_break.stop()
        assert [503, 503] == [(await shop.place()).status_code, (await shop.http.get("/ready")).status_code]

    tell(redis_url, story, result_backend=redis_to_break.url)
