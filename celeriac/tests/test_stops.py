"""Real workers that are stopped and killed, again and again: what counts as a death, and who starts beside whom."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import HERE, RunningWorker, start_worker
from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LEASE_SECONDS = 1.0


class Stack:
    """A broker of its own, and workers that come and go."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.broker: Any = redis.Redis.from_url(url)
        self.app: Celery = make_app("test", CelerySettings(broker_url=url))
        self.workers: list[RunningWorker] = []

    def start(self, threads: int = 1, max_starts: int = 5, **environment: str) -> RunningWorker:
        folder = self.folder / str(len(self.workers))
        folder.mkdir()
        given = {
            "WORKER_CONCURRENCY": str(threads),
            "CELERY_MAX_STARTS": str(max_starts),
            "CELERY_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
        }
        worker = start_worker([str(HERE / "stopping.py")], self.url, folder, **given | environment)
        self.workers.append(worker)
        worker.wait_until_ready()
        return worker

    def keep(self, until: Callable[[], bool], seconds: float, **given: Any) -> int:
        """Workers one after the other, a new one when one died; how many it took."""
        deadline = time.monotonic() + seconds
        started = 0
        worker = None
        while not until():
            assert time.monotonic() < deadline, self.output()
            if worker is None or worker.process.poll() is not None:
                started += 1
                with suppress(AssertionError):  # it may have died before it was ready
                    worker = self.start(**given)
                worker = self.workers[-1]
            time.sleep(0.02)
        return started

    def send(self, name: str, *args: Any, **options: Any) -> Any:
        return self.app.send_task(f"stops.{name}", args, queue="stops", **options)

    def started(self, key: str) -> int:
        return int(self.broker.get(f"started-{key}") or 0)

    def letters(self) -> int:
        return int(self.broker.xlen(keys.dead("stops")))

    def output(self) -> str:
        return "\n".join(worker.output() for worker in self.workers)

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        self.app.close()
        self.broker.close()


@pytest.fixture
def stack(redis_server: Any, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(f"redis://127.0.0.1:{redis_server.port}/9", tmp_path)
    stack.broker.flushdb()
    yield stack
    stack.close()


def eventually(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


# A clean stop


@pytest.mark.parametrize("name", ["nap", "called_nap"])
def test_a_task_that_eight_stops_interrupt_ends_well(stack: Stack, name: str) -> None:
    task = stack.send(name, 3.0)
    for restart in range(8):
        worker = stack.start(WORKER_STOP_SECONDS="0.2")
        eventually(lambda number=restart: stack.started("nap") > number)
        assert 0 == worker.stop(), worker.output()
    stack.start()
    assert "rested" == task.get(timeout=10)
    assert 0 == stack.letters()
    assert not stack.broker.exists(keys.STARTS)


@pytest.mark.parametrize("name", ["nap", "called_nap"])
def test_a_cold_stop_is_no_death(stack: Stack, name: str) -> None:
    task = stack.send(name, 3.0)
    for restart in range(3):
        worker = stack.start(max_starts=2)
        eventually(lambda number=restart: stack.started("nap") > number)
        worker.process.send_signal(signal.SIGQUIT)
        worker.process.wait(10)
    stack.start(max_starts=2)
    assert "rested" == task.get(timeout=10)
    assert 0 == stack.letters()


def test_a_stop_does_not_wait_longer_than_it_was_told(stack: Stack) -> None:
    stack.send("nap", 20.0)
    worker = stack.start(WORKER_STOP_SECONDS="0.2")
    eventually(lambda: stack.started("nap"))
    before = time.monotonic()
    assert 0 == worker.stop()
    assert time.monotonic() - before < 3
    assert "worker.stop_overdue" in worker.output()
    assert 1 == stack.broker.llen("stops")


def test_a_body_that_stops_its_worker_counts_and_its_neighbours_do_not(stack: Stack) -> None:
    task = stack.send("nap", 1.5)
    for _ in range(3):
        stack.send("end", "shutdown")
        sent = stack.letters()
        stack.keep(lambda number=sent: stack.letters() > number, 30, threads=2, max_starts=2, WORKER_STOP_SECONDS="0.1")
    stack.keep(task.ready, 20, threads=2)
    assert ("SUCCESS", 3) == (task.state, stack.letters())


# Deaths


@pytest.mark.parametrize("name", ["kill", "called_kill"])
def test_five_deaths_are_poison(stack: Stack, name: str) -> None:
    task = stack.send(name)
    assert 6 == stack.keep(lambda: stack.letters() == 1, 60)
    eventually(lambda: task.state == "FAILURE") if name == "kill" else None
    assert 5 == stack.started("kill")
    assert not stack.broker.exists(keys.STARTS)


def test_what_came_back_once_runs_beside_the_others(stack: Stack) -> None:
    tasks = [stack.send("nap", 2.0) for _ in range(16)]
    worker = stack.start(threads=16)
    eventually(lambda: stack.started("nap") == 16)
    worker.process.kill()
    worker.process.wait()
    stack.start(threads=16)
    eventually(lambda: stack.started("nap") > 16)
    before = time.monotonic()
    assert ["rested"] * 16 == [task.get(timeout=20) for task in tasks]
    assert time.monotonic() - before < 6
    assert 32 == stack.started("nap")


@pytest.mark.parametrize("max_starts", [5, 3, 2, 1])
def test_a_poison_takes_none_of_its_neighbours_along(stack: Stack, max_starts: int) -> None:
    poison, *innocents = [stack.send("kill", 0.1), *(stack.send("nap", 0.5) for _ in range(15))]
    ended = lambda: all(task.ready() for task in innocents) and stack.letters() == 1  # noqa: E731
    stack.keep(ended, 100, threads=16, max_starts=max_starts)
    assert {"SUCCESS"} == {task.state for task in innocents}
    assert max(2, max_starts) == stack.started("kill")
    assert "FAILURE" == poison.state
    assert not stack.broker.exists(keys.STARTS)


def test_a_poison_that_takes_its_time_is_found_beside_work_that_never_ends(stack: Stack, monkeypatch: Any) -> None:
    """Its time alone is over before it kills; each time it gets twice as much."""
    stack.send("kill", 1.0)
    done: list[Any] = []

    def letter() -> bool:
        if stack.broker.llen("stops") < 4:
            done.append(stack.send("nap", 0.2))
        return stack.letters() == 1

    stack.keep(letter, 100, threads=4, max_starts=2, ALONE_SECONDS="0.3")
    stack.keep(lambda: all(task.ready() for task in done), 30, threads=4)
    assert {"SUCCESS"} == {task.state for task in done}
    assert 4 == stack.started("kill")  # beside others, 0.3 s and 0.6 s alone, 1.2 s alone


# Other pools


def test_in_prefork_a_child_that_dies_counts_and_a_body_that_asks_for_itself_again_does_not(stack: Stack) -> None:
    stack.start(max_starts=2, WORKER_POOL="prefork")
    again = stack.send("end", "requeue")
    again.get(timeout=20)
    assert (7, 0) == (stack.started("end"), stack.letters())
    stack.send("kill")
    eventually(lambda: stack.letters() == 1, 30)
    assert 2 == stack.started("kill")


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_stop_of_another_pool_is_no_death_either_and_ends_in_time(stack: Stack, pool: str) -> None:
    task = stack.send("nap", 2.0)
    for restart in range(3):
        worker = stack.start(max_starts=2, WORKER_POOL=pool, WORKER_STOP_SECONDS="0.2")
        eventually(lambda number=restart: stack.started("nap") > number)
        assert 0 == worker.stop()
        assert 1 == stack.broker.llen("stops")
    stack.start(max_starts=2, WORKER_POOL=pool)
    assert "rested" == task.get(timeout=10)
    assert (4, 0) == (stack.started("nap"), stack.letters())
    eventually(lambda: not stack.broker.hlen(keys.UNACKED))
