"""Workers that hang, each in another part, and what the probe says of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker

from celeriac import health
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.claim.pauses import pause, resume

pytestmark = pytest.mark.integration

STUCK = [str(Path(__file__).parent / "stuck.py")]
PARTS = {
    "loop": "the claim loop hangs",
    "guard": "the guard hangs",
    "guard ends": "the guard has ended",
    "commit": "an outcome has waited for Redis's answer",
    "thread": "a task thread hangs outside of any task",
    "process": "the worker hangs",
}
MAX_AGE_SECONDS = 3.0  # longer than an idle worker waits for anything


@pytest.fixture(scope="module")
def workers(redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningWorker]]:
    """One for each part, and all begin to hang together."""
    url = f"redis://127.0.0.1:{redis_server.port}/9"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    made = {}
    for number, part in enumerate(PARTS):
        folder = tmp_path_factory.mktemp("stuck")
        made[part] = start_worker(STUCK, url, folder, WORKER_QUEUES=f"stuck-{number}")
    app = make_app("test", CelerySettings(broker_url=url))
    for number, (part, worker) in enumerate(made.items()):
        worker.wait_until_ready()
        assert health.check_file(str(worker.health_file), MAX_AGE_SECONDS) == (None, "")
        app.send_task("stuck.fault", (part,), queue=f"stuck-{number}", ignore_result=True)
    os.kill(made["process"].process.pid, signal.SIGSTOP)
    yield made
    app.close()
    for worker in made.values():
        worker.process.kill()
        worker.process.wait()


def eventually(find: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_worker_that_hangs_is_told(part: str, workers: dict[str, RunningWorker]) -> None:
    file = str(workers[part].health_file)
    problem = eventually(lambda: health.check_file(file, MAX_AGE_SECONDS)[0])
    assert PARTS[part] in problem
    command = [sys.executable, "-m", "celeriac.health", "file", file, "--max-age", "3"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (1, True) == (probe.returncode, PARTS[part] in probe.stdout)


def test_a_worker_that_goes_on_is_well_at_once(workers: dict[str, RunningWorker]) -> None:
    worker = workers["process"]
    eventually(lambda: health.check_file(str(worker.health_file), 6.0)[0])
    seen = worker.health_file.stat().st_mtime_ns
    os.kill(worker.process.pid, signal.SIGCONT)
    eventually(lambda: worker.health_file.stat().st_mtime_ns != seen)
    assert health.check_file(str(worker.health_file), 3.0) == (None, "")


def test_a_worker_without_redis_is_degraded_and_well_when_it_is_back(redis_to_break: Any, tmp_path: Path) -> None:
    worker = start_worker(STUCK, redis_to_break.url, tmp_path, WORKER_QUEUES="stuck")
    try:
        worker.wait_until_ready()
        with redis.Redis.from_url(redis_to_break.url) as client:
            client.config_set("save", "")
        redis_to_break.stop()
        file = str(worker.health_file)
        less = eventually(lambda: health.check_file(file)[1])
        assert "Redis has not answered" in less or "it connects to its queues again" in less
        redis_to_break.start()
        eventually(lambda: health.check_file(file) == (None, ""), 40)
    finally:
        worker.process.kill()
        worker.process.wait()


def test_a_queue_that_is_full_of_dead_letters_or_paused_degrades_its_worker(redis_server: Any, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{redis_server.port}/9"
    worker = start_worker(
        STUCK, url, tmp_path, WORKER_QUEUES="full", CELERY_DEAD_LETTER_BOUND="1", CELERY_LEASE_SECONDS="1"
    )
    app = make_app("test", CelerySettings(broker_url=url))
    file = str(worker.health_file)
    try:
        worker.wait_until_ready()
        with redis.Redis.from_url(url) as client:
            client.xadd(keys.dead("full"), {"raw": "x", "about": "{}"})
            app.send_task("stuck.fault", ("nothing",), queue="full", ignore_result=True)
            less = eventually(lambda: health.check_file(file)[1])
            assert "nothing is claimed from full: its dead letters are at their bound" == less
            client.delete(keys.dead("full"))
            for name in ("full", "of-others"):
                pause(client, name)
            eventually(lambda: health.check_file(file) == (None, "full is paused"))
            for name in ("full", "of-others"):
                resume(client, name)
            eventually(lambda: health.check_file(file) == (None, ""))
        assert 0 == worker.stop()
    finally:
        app.close()
        worker.process.kill()
        worker.process.wait()
