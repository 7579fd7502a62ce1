"""Behind Sentinel: its master is found, and followed when another one takes its place."""

import os
import subprocess
import sys
import threading
import time
from uuid import uuid4

import pytest

import shop
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.errors import PublishError
from celeriac.http.broker import Broker
from celeriac.http.progress import progress_of
from celeriac.outcome.commit import Commit
from celeriac.outcome.unclaimed import publish_ahead
from celeriac.publish.of_app import publisher_of
from shop.schemas import OrderItem, OrderPayload
from shop.tasks import health_check, process_order
from watched import MASTER, Watched, until


def order() -> OrderPayload:
    return OrderPayload(
        task_id=uuid4(),
        source_service="test",
        customer_id="c-1",
        items=(OrderItem(product_id="p-1", quantity=2),),
        total_amount="12.50",
    )


@pytest.fixture
def watched(redis_server, tmp_path, request):
    made = Watched(redis_server.binary, tmp_path, **getattr(request, "param", {}))
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def worker(watched, tmp_path):
    health = tmp_path / "health"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "WORKER_", "LOG_"))}
    given = {"WORKER_HEALTH_FILE": str(health), "LOG_FORMAT": "json", "CELERY_LEASE_SECONDS": "2"}
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shop.worker"],
            env={**plain, **watched.environment, **given, "PYTHONPATH": shop.PATH},
            stdout=log,
            stderr=log,
        )
    until(health.exists)
    yield process
    process.terminate()
    process.wait(20)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


@pytest.fixture
def settings(watched):
    return CelerySettings(
        broker_url=watched.url, sentinel_master=MASTER, sentinel_password=watched.asked or None, lease_seconds=2
    )


@pytest.fixture
def app(settings):
    made = make_app("test", settings)
    yield made
    for pool in (publisher_of(made)._client.connection_pool, made.backend.client.connection_pool):
        pool.disconnect()
        pool.sentinel_manager.close()


@pytest.mark.parametrize("watched", [{"password": "p@:/;%", "asked": "of the sentinels"}], indirect=True)
def test_orders_go_through_and_results_come_back_with_passwords_of_both_kinds(app, watched, worker, settings):
    contract = process_order.bind(app)
    payload = order()
    assert contract.delay(payload).get(10).order_id == payload.task_id
    assert health_check.bind(app).delay().get(10).status == "healthy"
    with watched.master.connect() as client:
        assert client.get(keys.once(str(payload.task_id))).startswith("done:")
        assert contract.publish_many([payload]).duplicates == (str(payload.task_id),)
        ahead = Commit("")  # as a body that waits for a task of its own sends it
        ahead.add_child("elsewhere", b"message")
        publish_ahead(app, ahead)
        assert client.lrange("elsewhere", 0, -1) == ["message"]
    app.unclaimed_client.connection_pool.disconnect()
    app.unclaimed_client.connection_pool.sentinel_manager.close()
    placed_and_found(settings)


def placed_and_found(settings):
    """By an HTTP service."""
    broker = Broker("shop", settings, [process_order])
    try:
        broker.check()
        payload = order()
        assert [process_order.delay(payload).id, process_order.delay(payload).id] == [str(payload.task_id)] * 2
        until(lambda: progress_of(process_order, payload.task_id).state == "succeeded")
    finally:
        broker.close()


def test_after_a_failover_workers_go_on_and_nothing_is_lost_that_the_replica_had_got(app, watched, worker):
    contract = process_order.bind(app)
    accepted, refused, stop = [], [], threading.Event()

    def publish():
        while not stop.is_set():
            payload = order()
            try:
                contract.delay(payload)
            except PublishError:
                refused.append(payload)
            else:
                accepted.append(str(payload.task_id))
            time.sleep(0.01)

    load = threading.Thread(target=publish)
    load.start()
    try:
        time.sleep(1.5)
        with watched.master.connect() as client:
            assert client.wait(1, 1000) == 1
            sure = list(accepted)
            watched.kill_master()
        watched.wait_for_failover()
        seen = len(accepted)
        until(lambda: len(accepted) > seen + 20)
    finally:
        stop.set()
        load.join()
    with watched.replica.connect() as client:
        until(lambda: client.llen("orders") == client.hlen("unacked") == 0)
        done = {one for one in accepted if str(client.get(keys.once(one)) or "").startswith("done:")}
        again = [one for one in refused if client.get(keys.once(str(one.task_id))) is None]
    assert set(sure) <= done
    assert len(accepted) - len(done) < 20  # what the replica had not got in the moment of the kill
    assert len(contract.publish_many(again).accepted) == len(again)
    assert worker.poll() is None
