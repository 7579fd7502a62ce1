"""A broker that goes away, and comes back with what it had: nothing is lost, and the worker is told of new tasks."""

import threading
import time

import pytest
from tests.interop.peers import eventually, lease, our_worker, stock_worker

from servers import Server

LATE = {
    "task_acks_late": True,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {"visibility_timeout": 5},
}
QUICK = {
    "broker_transport_options": {"visibility_timeout": 5, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
}


@pytest.fixture
def server(redis_server, tmp_path):
    """A Redis that keeps what it was given."""
    made = Server(redis_server.binary, tmp_path, ["--appendonly", "yes", "--appendfsync", "always"])
    made.start()
    yield made
    made.close()


class Load(threading.Thread):
    """Sends tasks all the time, and again what was not accepted; `accepted` counts."""

    def __init__(self, server: Server, client) -> None:
        super().__init__(daemon=True)
        self.server, self.client, self.accepted, self.over = server, client, [], threading.Event()

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            try:
                self.client.send("interop.sleep", [0.005, number], ignore_result=True, retry=False)
            except Exception:  # the broker is away
                time.sleep(0.02)
                continue
            self.accepted.append(number)
            number += 1
            time.sleep(0.004)

    def end(self) -> list[int]:
        self.over.set()
        self.join(30)
        return self.accepted


@pytest.fixture
def load(server, client_at):
    options = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0}
    client = client_at("celery-newest", server.url, broker_transport_options=options)
    return Load(server, client)


def interrupt(what: str, server: Server) -> None:
    if what == "restart":
        server.kill()
        time.sleep(0.5)
        server.start()
        return
    with server.connect() as admin:
        if what == "every connection is killed":
            for one in admin.client_list():
                if one["id"] != admin.client_id() and "replica" not in one["flags"]:
                    admin.execute_command("CLIENT", "KILL", "ID", one["id"])
        else:
            admin.script_flush()


def done(*workers):
    return {note["key"] for worker in workers for note in worker.notes("slept")}


@pytest.mark.parametrize("what", ["restart", "every connection is killed", "scripts are flushed"])
def test_nothing_is_lost_when_the_broker(what, server, load, start, threads, on_our_transport):
    if what == "restart" and not on_our_transport:
        pytest.skip("the stock transport loses what it has popped and not registered")
    worker = start(our_worker, server.url, threads=threads, environ=lease(3), conf=QUICK)
    load.start()
    for _ in range(2):
        time.sleep(0.8)
        interrupt(what, server)
    time.sleep(0.4)
    accepted = load.end()
    assert len(accepted) > 30
    assert worker.alive(), worker.output()[-3000:]
    eventually(lambda: set(accepted) <= done(worker), 60)
    with server.connect() as database:
        eventually(lambda: database.hlen("unacked") == 0, 30)
        assert database.llen("default") == 0


@pytest.mark.parametrize("what", ["restart", pytest.param("every connection is killed", marks=pytest.mark.heavy)])
def test_a_worker_that_slept_through_it_is_awake_afterwards(what, server, start, client_at, threads):
    worker = start(our_worker, server.url, threads=threads)
    before = client_at("celery-newest", server.url)
    assert before.get(before.send("interop.add", [1, 1])) == 2
    time.sleep(0.5)
    interrupt(what, server)
    client = client_at("celery-newest", server.url, interop_application="after")
    assert client.get(client.send("interop.add", [1, 2]), timeout=20) == 3
    waits = []
    for _ in range(5):
        time.sleep(0.2)
        sent, task = client.send_at("interop.stamp")
        waits.append(client.get(task) - sent)
    assert min(waits) < 0.05, waits
    assert client.control("ping") == [{worker.hostname: {"ok": "pong"}}]


def test_a_task_that_runs_while_the_broker_restarts_is_done_and_its_result_is_there(server, start, client_at, threads):
    worker = start(our_worker, server.url, threads=threads, environ=lease(3), conf=QUICK)
    client = client_at("celery-newest", server.url)
    task = client.send("interop.sleep", [2, "through"])
    eventually(lambda: worker.notes("sleep"))
    interrupt("restart", server)
    after = client_at("celery-newest", server.url, interop_application="after")
    assert after.get(task, timeout=40) == "through"
    with server.connect() as database:
        eventually(lambda: database.hlen("unacked") == 0, 30)


def test_what_waits_for_its_time_survives_a_restart(server, start, client_at, on_our_transport):
    if not on_our_transport:
        pytest.skip("the stock transport holds it in the worker's memory, and may lose it")
    start(our_worker, server.url, environ=lease(3), conf=QUICK)
    client = client_at("celery-newest", server.url)
    before = time.time()
    tasks = client.send_many("interop.stamp", [[]] * 20, countdown=3)
    time.sleep(0.5)
    interrupt("restart", server)
    after = client_at("celery-newest", server.url, interop_application="after")
    assert all(before + 3 <= after.get(task, timeout=30) for task in tasks)


@pytest.mark.heavy
def test_nothing_is_lost_beside_a_stock_worker_when_every_connection_is_killed(server, load, start):
    workers = (
        start(our_worker, server.url, environ=lease(3), conf=QUICK),
        start(stock_worker, "celery-newest", server.url, conf=LATE),
    )
    load.start()
    for _ in range(3):
        time.sleep(1)
        interrupt("every connection is killed", server)
    accepted = load.end()
    eventually(lambda: set(accepted) <= done(*workers), 90)
