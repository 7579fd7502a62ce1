"""What Prometheus gets of a real worker that did real work."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import redis
from celeriac.tests.conftest import HERE, RunningWorker, module_of, start_worker
from celeriac.tests.test_events import ROWS
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings

pytestmark = pytest.mark.integration
Samples = dict[tuple[str, tuple[str, ...]], float]
WORK, PLAIN, UNKNOWN = "measured.work", "measured.plain", "unknown"


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    return module_of("measured")


class Measured:
    """The worker, its client and its metrics."""

    def __init__(self, url: str, folder: Path, pool: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.told = folder / "events"
        at_once = "2" if pool == "threads" else "1"  # a child counts its own attempts
        more = {"HTTP_PORT": str(self.port), "WORKER_POOL": pool, "WORKER_CONCURRENCY": at_once, "LOG_LEVEL": "warning"}
        script = str(HERE / "measured.py")
        self.worker: RunningWorker = start_worker(
            [script], url, folder, WORKER_MOUNT="measured", PYTHONPATH=str(HERE), MEASURED_EVENTS=str(self.told), **more
        )
        self.app: Celery = make_app("test", CelerySettings(broker_url=url))
        self.client = redis.Redis.from_url(url)

    def text(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def samples(self) -> Samples:
        """Name and values of labels, by their names -> value."""
        return {
            (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
            for family in text_string_to_metric_families(self.text())
            for one in family.samples
        }

    def states(self) -> dict[tuple[str, str], float]:
        """State and task -> how many, but not 0."""
        return {key: n for (name, key), n in self.samples().items() if name == "celery_tasks_total" and n}  # type: ignore[misc]  # two labels

    def until_states(self, expected: dict[tuple[str, str], float]) -> None:
        deadline = time.monotonic() + 20
        while (seen := self.states()) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        assert expected == seen, self.worker.output()[-3000:]


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[Any]:
    started: list[Measured] = []

    def run(pool: str) -> Measured:
        started.append(Measured(redis_url, tmp_path, pool))
        started[-1].worker.wait_until_ready()
        return started[-1]

    yield run
    for one in started:
        one.worker.process.kill()
        one.worker.process.wait()
        one.client.close()


def send_all(one: Measured, measured: ModuleType) -> None:
    """Work that ends in every way that there is."""
    work, app = measured.work.bind(one.app), one.app
    revoked = str(uuid4())
    app.control.revoke(revoked)

    def plan(**more: Any) -> Any:
        return measured.Plan(source_service="test", **more)

    for _ in range(5):
        work.delay(plan())
    work.delay(plan(failures=1))
    work.delay(plan(failures=9))
    work.delay(plan(forever=True))
    again = plan()
    for _ in range(2):  # as a stock client queues the same work twice
        app.send_task(WORK, [again.model_dump(mode="json")], task_id=str(again.task_id), queue="measured")
    app.send_task(WORK, [{"seconds": "long"}], queue="measured")
    app.send_task("nobody.knows.it", queue="measured")
    app.send_task(PLAIN, queue="measured")
    app.send_task(PLAIN, [True], queue="measured")
    app.send_task(PLAIN, queue="measured", task_id=revoked)


# 5 + 1 that is retried once, 1 that is retried twice and dies, 1 that dies at once, 2 of the same, 1 wrong payload
ENDS = {
    ("started", WORK): 5 + 2 + 3 + 1 + 2 + 1,
    ("succeeded", WORK): 5 + 1 + 1,
    ("retrying", WORK): 1 + 2,
    ("failed", WORK): 3,
    ("dead", WORK): 3,
    ("repeated", WORK): 1,
    ("started", PLAIN): 2,
    ("succeeded", PLAIN): 1,
    ("failed", PLAIN): 1,
    ("revoked", PLAIN): 1,
    ("failed", UNKNOWN): 1,
    ("dead", UNKNOWN): 1,
}


def check_events(one: Measured) -> None:
    """A listener was told of each end as often as it is counted, with the fields that docs/events.md says."""
    told = [json.loads(line) for line in one.told.read_text().splitlines()]
    wrong = [(event, sorted(fields)) for event, fields in told if not ROWS[event].has({*fields})]
    assert [] == wrong
    seen = Counter(event for event, _ in told)
    for state in ("succeeded", "failed", "retrying", "dead", "revoked"):
        assert sum(n for (name, _), n in ENDS.items() if name == state) == seen[f"task.{state}"], state
    assert (1, 14) == (seen["outcome.repeated"], seen["task.started"])


def test_each_end_is_counted_exactly_and_each_part_of_its_time_is_measured(start: Any, measured: ModuleType) -> None:
    one = start("threads")
    send_all(one, measured)
    one.until_states(ENDS)
    check_events(one)
    seen = one.samples()
    assert {"permanent": 1, "retries-exhausted": 1, "wrong-payload": 1} == {
        key[0]: n for (name, key), n in seen.items() if name == "celery_dead_letters_total" and key[1] == WORK and n
    }
    assert 1 == seen["celery_dead_letters_total", ("unknown-task", UNKNOWN)]
    assert 14 == seen["celery_task_run_seconds_count", (WORK,)]
    assert 14 * 0.019 < seen["celery_task_run_seconds_sum", (WORK,)] < 14 * 0.02 + 5
    ran, waited, whole = (seen[f"celery_task_{part}_seconds_sum", (WORK,)] for part in ("run", "wait", "end_to_end"))
    assert whole > ran
    assert 0 < waited < 60
    assert seen["celery_task_run_seconds_count", (WORK,)] == seen["celery_task_run_seconds_bucket", ("+Inf", WORK)]
    assert seen["celery_task_run_seconds_bucket", ("0.01", WORK)] <= 1  # the wrong payload
    assert seen["celery_commit_seconds_count", ()] >= 3
    assert 0 < seen["celery_commit_seconds_sum", ()] < 60
    assert [2, 0, 0, 0, 1] == [
        seen[name, ()]
        for name in (
            "celery_pool_threads",
            "celery_pool_busy",
            "celery_leases_held",
            "celery_leases_lost_total",
            "consumer_bound",
        )
    ]
    assert {"closed": 1, "open": 0, "half-open": 0} == {
        key[1]: n for (name, key), n in seen.items() if name == "celery_breaker_state"
    }


def test_a_body_that_runs_has_started_and_its_thread_is_busy(start: Any, measured: ModuleType) -> None:
    one = start("threads")
    measured.work.bind(one.app).delay(measured.Plan(source_service="test", seconds=1.5))
    one.until_states({("started", WORK): 1})
    seen = one.samples()
    assert [1, 1] == [seen["celery_pool_busy", ()], seen["celery_leases_held", ()]]
    one.until_states({("started", WORK): 1, ("succeeded", WORK): 1})


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_in_celerys_own_pools_the_same_is_counted(pool: str, start: Any, measured: ModuleType) -> None:
    one = start(pool)
    send_all(one, measured)
    one.until_states(ENDS)
    check_events(one)
    seen = one.samples()
    assert 14 == seen["celery_task_run_seconds_count", (WORK,)]
    assert 14 * 0.019 < seen["celery_task_run_seconds_sum", (WORK,)] < 14 * 0.02 + 5


def test_prometheus_finds_nothing_wrong_with_names_and_format(start: Any, measured: ModuleType) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH: apt-get install prometheus")
    one = start("threads")
    measured.work.bind(one.app).delay(measured.Plan(source_service="test"))
    one.until_states({("started", WORK): 1, ("succeeded", WORK): 1})
    told = subprocess.run([promtool, "check", "metrics"], input=one.text(), capture_output=True, text=True, check=False)
    assert (0, "") == (told.returncode, told.stderr)
