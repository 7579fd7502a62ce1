"""Stock Celery at the other end of the wire: the newest and 5.3, beside workers of ours with 1 and with 4 threads."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.interop.environments import Unavailable, environment
from tests.interop.peers import Client, ClientProcess, Worker, our_worker, transport

PEERS = ("celery-newest", "celery-5.3")
THREADS = (1, 4)
WAYS = ("short", "celerys")  # a message's way through our worker: a runner's, or Celery's own request and tracer
HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "heavy: a rarer combination of peers; only with -m heavy")
    config.addinivalue_line("markers", "every_peer: on every peer and with every number of threads, in a short run too")


@pytest.hookimpl(tryfirst=True)  # before the one of the whole repository, which looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A short run has everything with the newest Celery, one thread and lanes; what is marked `every_peer`, also where
    one of the three is different."""
    here = [item for item in items if item.path.is_relative_to(HERE)]
    for item in here:
        item.add_marker(pytest.mark.integration)
        params = item.callspec.params if hasattr(item, "callspec") else {}
        unusual = [
            params.get("peer") == PEERS[1],
            params.get("threads") == THREADS[1],
            params.get("way") == WAYS[1],
        ]
        if sum(unusual) > bool(item.get_closest_marker("every_peer")):
            item.add_marker(pytest.mark.heavy)
    if "heavy" not in config.option.markexpr:
        left = [item for item in here if item.get_closest_marker("heavy")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def need(name: str) -> Path:
    """An environment, or a skip that says why there is none."""
    try:
        return environment(name)
    except Unavailable as problem:
        pytest.skip(f"{name}: {problem}")


@pytest.fixture(scope="session", params=PEERS)
def peer(request: pytest.FixtureRequest) -> str:
    """Which stock Celery: the name of its environment."""
    need(request.param)
    return str(request.param)


@pytest.fixture(scope="session", params=THREADS)
def threads(request: pytest.FixtureRequest) -> int:
    """Of our worker."""
    return int(request.param)


@pytest.fixture(scope="session")
def broker(redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Redis that no other test empties."""
    server = type(redis_server)(redis_server.binary, tmp_path_factory.mktemp("interop-redis"), free_port())
    server.start()
    yield server
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def client_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ClientProcess]]:
    processes: dict[str, ClientProcess] = {}
    yield processes
    for process in processes.values():
        process.close()


@pytest.fixture(scope="session")
def client_at(client_processes: dict[str, ClientProcess], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a stock client for a peer and a broker: client_at(peer, url)."""

    def made(peer: str, url: str, **conf: Any) -> Client:
        need(peer)
        if peer not in client_processes or client_processes[peer].process.poll() is not None:
            client_processes[peer] = ClientProcess(peer, tmp_path_factory.mktemp(peer) / "errors")
        return Client(client_processes[peer], url, **conf)

    return made


@pytest.fixture(scope="session")
def long_lived() -> Iterator[dict[str, Worker]]:
    """Our workers by the database that they work for; started when first asked for."""
    workers: dict[str, Worker] = {}
    yield workers
    for worker in workers.values():
        assert worker.stop() == 0, worker.output()[-4000:]


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Which way messages go in the worker. A listener to `task_received` sends all of them Celery's way."""
    if request.param == "celerys" and transport() == "stock":
        pytest.skip("the stock transport has no other way")
    return str(request.param)


@pytest.fixture
def url(broker: Any, threads: int, way: str) -> str:
    """Where the worker listens."""
    return f"redis://127.0.0.1:{broker.port}/{threads + 4 * WAYS.index(way)}"


@pytest.fixture
def worker(
    threads: int, way: str, url: str, long_lived: dict[str, Worker], tmp_path_factory: pytest.TempPathFactory
) -> Worker:
    """A worker of ours that lives for many tests."""
    if url not in long_lived or not long_lived[url].alive():
        signals = ["task_received"] if way == "celerys" else []
        folder, name = tmp_path_factory.mktemp("worker"), f"ours-{threads}-{way}"
        long_lived[url] = our_worker(url, folder, threads=threads, name=name, signals=signals)
    return long_lived[url]


@pytest.fixture
def database(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def client(peer: str, worker: Worker, url: str, client_at: Any) -> Client:
    """A stock client of the worker's broker."""
    return client_at(peer, url)


@pytest.fixture
def key() -> str:
    """A word that no other test uses: workers live long and remember."""
    return f"key-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def own_url(broker: Any) -> Iterator[str]:
    """A database for this test alone, emptied before and after."""
    url = f"redis://127.0.0.1:{broker.port}/15"
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
        yield url
        connection.flushdb()


@pytest.fixture
def own(own_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(own_url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts workers for this test alone, and ends them: start(our_worker, url, threads=4, name="one")."""
    started: list[Worker] = []

    def begin(kind: Any, *arguments: Any, **options: Any) -> Worker:
        started.append(kind(*arguments, tmp_path, **options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()


@pytest.fixture(scope="session")
def on_our_transport() -> bool:
    return transport() == "atomic"


def pytest_report_header() -> str:
    return f"interop: workers of ours run on the {transport()} transport"
