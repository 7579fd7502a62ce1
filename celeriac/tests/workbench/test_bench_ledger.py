import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery, signals

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.workbench import bench_ledger
from celeriac.workbench.bench import BenchKind, BenchPayload, bench_task
from celeriac.workbench.bench_ledger import BenchLedger


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_app("test", CelerySettings(broker_url=redis_url)) as app:
        yield app


@pytest.fixture
def broker(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def entries(broker: Any, run: str) -> list[Any]:
    return [json.loads(raw) for raw in broker.lrange(bench_ledger.key(run), 0, -1)]


def wait_for(broker: Any, run: str, count: int) -> list[Any]:
    deadline = time.monotonic() + 5
    while len(found := entries(broker, run)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.005)
    return found


@pytest.mark.integration
def test_an_entry_is_written_soon_without_asking(app: Celery, broker: Any) -> None:
    book = BenchLedger(app)
    book.record("r1", "t1", 1.5, 2.25, "w@h-1")
    assert [["t1", 1.5, 2.25, "w@h-1"]] == wait_for(broker, "r1", 1)
    book.close()


@pytest.mark.integration
def test_runs_are_kept_apart_and_nothing_is_lost_or_doubled_under_threads(app: Celery, broker: Any) -> None:
    book = BenchLedger(app)

    def work(run: str, first: int) -> None:
        for number in range(first, first + 500):
            book.record(run, str(number), 0, 0, "w")

    threads = [threading.Thread(target=work, args=one) for one in (("a", 0), ("b", 0), ("a", 500), ("b", 500))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()
    for run in ("a", "b"):
        ids = [entry[0] for entry in wait_for(broker, run, 1000)]
        assert (1000, 1000) == (len(ids), len(set(ids)))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # as the prefork pool does
def test_a_forked_child_writes_its_own_and_not_again_what_its_parent_had(app: Celery, broker: Any) -> None:
    book = BenchLedger(app)
    book._writer = threading.current_thread()  # the parent writes when it is asked to
    book.record("r", "parent", 0, 0, "w")
    child = os.fork()
    if child == 0:
        book.record("r", "child", 0, 0, "w")
        book.flush()
        os._exit(0)
    os.waitpid(child, 0)
    book.flush()
    book.close()
    assert ["child", "parent"] == sorted(entry[0] for entry in wait_for(broker, "r", 2))


def test_a_broker_that_is_away_does_not_fail_the_task(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app("test", CelerySettings(broker_url="redis://127.0.0.1:1/0"), patience_seconds=0.2)
    book = BenchLedger(app)
    book._writer = threading.current_thread()
    book.record("r", "t", 0, 0, "w")
    book.flush()
    assert "1 entries not written" in caplog.text


@pytest.mark.integration
@pytest.mark.parametrize("ending", [signals.worker_process_shutdown, signals.worker_shutdown])
def test_what_is_buffered_is_written_when_the_process_ends(ending: Any, app: Celery, broker: Any) -> None:
    book = BenchLedger(app)
    book._writer = threading.current_thread()  # nobody else writes
    book.record("r", "last", 0, 0, "w")
    ending.send(sender=None)
    assert ["last"] == [entry[0] for entry in entries(broker, "r")]


def test_a_bench_has_queues_of_its_own() -> None:
    assert "bench.r1.orders" == bench_ledger.queue_of("r1", "orders")


def _seconds(kind: str, clock: Callable[[], float]) -> float:
    began = clock()
    result = bench_task(BenchPayload(source_service="devctl", kind=BenchKind(kind), milliseconds=20))
    assert kind == result.kind
    return clock() - began


def test_the_bench_task_waits_or_works() -> None:
    assert _seconds("wait", time.monotonic) >= 0.02
    assert _seconds("cpu", time.thread_time) >= 0.02


def test_the_bench_task_does_nothing() -> None:
    """On a busy machine one call may take long; all of some hundred do not."""
    assert min(_seconds("noop", time.monotonic) for _ in range(200)) < 0.005
