"""A request that brings a `traceparent`, an order, and the notification that follows from it: three processes, one
trace."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from celeriac.life.record import Kind, Record
from celeriac.life.stream import Life

pytestmark = [pytest.mark.integration, pytest.mark.examples]

ID = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{ID}-b7ad6b7169203331-01"
ORDER = {"customer_id": "c-1", "items": [{"product_id": "p-1", "quantity": 1}], "total_amount": "9.90"}


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def answer(url: str, **options: Any) -> httpx.Response | None:
    try:
        return httpx.request(options.pop("method", "GET"), url, timeout=5, **options)
    except httpx.TransportError:
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stack(redis_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Where service1 answers, and the folder of the logs."""
    port = free_port()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CELERY_", "HTTP_", "LOG_"))}
    environment = {**clean, "LOG_FORMAT": "json", "CELERY_BROKER_URL": redis_url}
    running = []
    for module, own in (
        ("service1", {"HTTP_PORT": str(port)}),
        ("worker", {}),
        ("service2", {"HTTP_PORT": str(free_port())}),
    ):
        with (tmp_path / f"{module}.log").open("wb") as out:
            command = [sys.executable, "-m", f"{module}.main"]
            running.append(subprocess.Popen(command, env=environment | own, stdout=out, stderr=out))
    url = f"http://127.0.0.1:{port}"
    until(lambda: answer(f"{url}/ready"))
    yield url, tmp_path
    for process in running:
        process.terminate()
    for process in running:
        process.wait(20)


def test_all_lines_and_records_of_a_request_have_the_id_of_its_trace(stack: tuple[str, Path], redis_url: str) -> None:
    url, logs = stack
    placed = answer(f"{url}/api/orders", method="POST", json=ORDER, headers={"traceparent": GIVEN})
    assert placed is not None
    order_id = placed.json()["order_id"]
    with redis.Redis.from_url(redis_url) as client:

        def told() -> list[Record]:
            """Of the order and what it has published, once both are done."""
            life = Life(client)
            ids = {one.task_id for one in life.find([order_id]) if order_id in (one.task_id, one.root_id)}
            found = [one for one in life.find(ids) if one.task_id in ids]
            return found if 2 == [one.kind for one in found].count(Kind.COMMITTED) else []

        records = until(told)

    assert (202, ID) == (placed.status_code, placed.headers["x-correlation-id"])
    published = [one for one in records if one.kind is Kind.PUBLISHED]
    assert [("orders", GIVEN, ID), ("notifications", GIVEN, "")] == [
        (one.queue, one.traceparent, one.correlation_id) for one in published
    ]
    assert ("POST /api/orders", "service1") == (published[0].via, published[0].who)
    lines = {one.stem: list(map(json.loads, one.read_text().splitlines())) for one in logs.glob("*.log")}
    of_the_order = {name: [line for line in found if line.get("correlation_id") == ID] for name, found in lines.items()}
    assert {"service1", "worker", "service2"} == {name for name, found in of_the_order.items() if found}
    assert {ID} == {line.get("trace_id") for found in of_the_order.values() for line in found}
