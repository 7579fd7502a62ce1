"""The worker as it is deployed: python -m worker.main, on a real Redis."""

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from celeriac import health
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.workbench import bench_ledger
from celeriac.workbench.bench import BenchKind, BenchPayload, bench
from common_tasks.tasks import health_check

pytestmark = pytest.mark.integration


def eventually(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def client(url: str) -> Celery:
    return make_app("test", CelerySettings(broker_url=url))


def test_it_says_that_it_is_healthy_and_has_nothing_of_what_devctl_measures_with(redis_url: str, start: Any) -> None:
    start(redis_url).wait_until_ready()
    asked = health_check.bind(client(redis_url)).apply_async(headers={bench_ledger.HEADER: "r2"})
    assert "healthy" == asked.get(timeout=10).status
    with redis.Redis.from_url(redis_url) as broker:
        assert not broker.keys("*r2*")
        assert not broker.exists("_kombu.binding.bench")


def test_with_the_workbench_it_measures(redis_url: str, start: Any) -> None:
    worker = start(redis_url, WORKER_MOUNT="celeriac.workbench")
    worker.wait_until_ready()
    app = client(redis_url)

    # A bench message: measured, not told in the logs, without a result.
    run = {"queue": "bench", "headers": {bench_ledger.HEADER: "r1"}}
    measured = bench.bind(app).apply_async(BenchPayload(source_service="devctl"), **run)
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen(bench_ledger.key("r1")))
        (entry,) = [json.loads(raw) for raw in broker.lrange(bench_ledger.key("r1"), 0, -1)]
    assert [measured.id, True, f"worker@{os.uname().nodename}-{worker.process.pid}"] == [
        entry[0],
        time.time() - 60 < entry[1] <= entry[2] <= time.time(),
        entry[3],
    ]
    assert "PENDING" == measured.state
    assert measured.id not in worker.output()

    # What it wrote last, in its children too, is not lost when it ends.
    for _ in range(20):
        bench.bind(app).apply_async(BenchPayload(source_service="devctl"), headers={bench_ledger.HEADER: "r3"})
    with redis.Redis.from_url(redis_url) as broker:
        eventually(lambda: broker.llen("bench") == 0)
        assert 0 == worker.stop()
        done = broker.llen(bench_ledger.key("r3")) + broker.llen("bench")
    assert 20 == done
    assert not worker.health_file.exists()
    lines = [json.loads(line) for line in worker.output().splitlines()]
    assert {"worker"} == {line["service"] for line in lines}
    assert "worker.stopped" == lines[-1]["event"]


def slow(app: Celery, milliseconds: float) -> Any:
    payload = BenchPayload(source_service="test", kind=BenchKind.WAIT, milliseconds=milliseconds)
    return bench.bind(app).apply_async(payload, ignore_result=False)


@pytest.mark.parametrize(
    ("pool", "told"), [("prefork", signal.SIGTERM), ("threads", signal.SIGHUP), ("solo", signal.SIGTERM)]
)
def test_a_stop_lets_the_running_task_finish_and_leaves_the_next_one_in_the_queue(
    pool: str, told: signal.Signals, redis_url: str, start: Any
) -> None:
    worker = start(redis_url, WORKER_POOL=pool, WORKER_MOUNT="celeriac.workbench")
    app = client(redis_url)
    running, waiting = slow(app, 800), slow(app, 0)
    eventually(lambda: running.state == "STARTED")
    worker.process.send_signal(told)
    assert 0 == worker.process.wait(20)
    assert "SUCCESS" == running.state
    with redis.Redis.from_url(redis_url) as broker:
        left = (waiting.state, broker.llen("bench"), broker.hlen("unacked"))
    assert ("PENDING", 1, 0) == left, worker.output()


def test_the_task_of_a_child_that_is_killed_runs_again(redis_url: str, start: Any) -> None:
    worker = start(redis_url, WORKER_POOL="prefork", WORKER_MOUNT="celeriac.workbench")
    pending = slow(client(redis_url), 1000)
    eventually(lambda: pending.state == "STARTED")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    assert BenchKind.WAIT == pending.get(timeout=20).kind
    assert 2 == worker.output().count('"event": "task.started"')
    assert "WorkerLostError" in worker.output()


def test_while_the_broker_is_away_its_worker_is_degraded_and_not_after(redis_to_break: Any, start: Any) -> None:
    worker = start(redis_to_break.url)
    worker.wait_until_ready()
    redis_to_break.stop()
    eventually(lambda: "Connection to broker lost" in worker.output())
    eventually(lambda: health.check_file(str(worker.health_file))[1])
    assert health.check_file(str(worker.health_file))[0] is None  # not dead: to restart it would mend nothing
    assert worker.process.poll() is None
    redis_to_break.start()
    eventually(lambda: health.check_file(str(worker.health_file)) == (None, ""))
    assert "healthy" == health_check.bind(client(redis_to_break.url)).delay().get(timeout=10).status


def test_with_a_port_it_also_answers_probes_and_prometheus(redis_url: str, start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    worker = start(redis_url, HTTP_PORT=str(port))
    worker.wait_until_ready()
    assert "healthy" == health_check.bind(client(redis_url)).delay().get(timeout=10).status

    def shown(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    ready = json.loads(shown("/ready"))
    assert ("ready", True) == (ready["status"], "default" in ready["queues"])
    eventually(lambda: 'celery_tasks_total{state="succeeded",task="tasks.health_check"} 1.0' in shown("/metrics"))
    assert 0 == worker.stop()


def test_a_worker_without_a_broker_waits_for_it_and_is_not_healthy_meanwhile(redis_to_break: Any, start: Any) -> None:
    redis_to_break.stop()
    worker = start(redis_to_break.url)
    eventually(lambda: "Cannot connect" in worker.output())
    assert not worker.health_file.exists()
    redis_to_break.start()
    worker.wait_until_ready()
    assert 0 == worker.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_BROKER_URL", "redis://:hunter2@h:70000"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h/0?socket_timeout=abc"),
        ("CELERY_RESULT_BACKEND", "rediss://:hunter2@h/0"),
        ("WORKER_HEALTH_FILE", "/dev/null/hunter2"),
        ("WORKER_MOUNT", "no.such.module"),
    ],
)
def test_a_wrong_environment_is_one_line_and_exit_1(name: str, value: str, start: Any) -> None:
    worker = start("redis://127.0.0.1:1/0", **{name: value})
    assert 1 == worker.process.wait(20)
    (line,) = worker.output().splitlines()
    assert line.startswith(f"worker cannot start: {name} is ")
    assert "hunter2" not in line


def test_a_likely_typing_error_is_one_line_and_what_kubernetes_sets_is_none(redis_url: str, start: Any) -> None:
    worker = start(redis_url, CELERY_LEASE_SECOND="3", CELERY_FLOWER_PORT="tcp://10.0.0.1:80", CELERY_LOADER="x")
    worker.wait_until_ready()
    first = worker.output().splitlines()[0]
    assert "CELERY_LEASE_SECOND is no setting and is not used; did you mean CELERY_LEASE_SECONDS?" == first
    assert not any(name in worker.output() for name in ("FLOWER", "LOADER"))
    assert 0 == worker.stop()


def test_no_log_line_shows_the_password_of_the_broker(start: Any) -> None:
    worker = start("redis://user:hunter2@127.0.0.1:1/0", LOG_LEVEL="debug")
    eventually(lambda: "Cannot connect" in worker.output())
    worker.process.terminate()
    assert "hunter2" not in worker.output()
    assert "***@127.0.0.1:1" in worker.output()
