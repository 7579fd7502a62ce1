"""The service as it is run: `python -m service2.main`, on a real Redis."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import pytest

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.worker.readiness import REMEMBERED_SECONDS
from common_tasks.schemas import NotificationPayload
from common_tasks.tasks import send_notification
from service2.main import main

pytestmark = pytest.mark.integration


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    def __init__(self, process, port, contract):
        self.process, self.port, self.contract = process, port, contract
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5)

    def status(self, path):
        return self.http.get(path).status_code

    def why(self):
        return self.http.get("/ready").json().get("message", "")

    def wait_for(self, path, status, seconds=20):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.status(path) == status:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, f"{path} is not {status} after {seconds} s"
            time.sleep(0.05)

    def counted(self, text):
        deadline = time.monotonic() + 5
        while text not in (shown := self.http.get("/metrics").text.splitlines()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)

    def notify(self, **fields):
        return self.contract.delay(
            NotificationPayload(
                **{
                    "source_service": "test",
                    "recipient": "anna@example.com",
                    "notification_type": "SMS",
                    "message": "hunter2",
                }
                | fields
            )
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


@contextmanager
def running(url, **environment):
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("CELERY_", "HTTP_", "LOG_", "WORKER_"))
    }
    port = free_port()
    settings = {"CELERY_BROKER_URL": url, "HTTP_PORT": str(port), "LOG_FORMAT": "json", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service2.main"],
        env=clean | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    app = make_app("test", CelerySettings(broker_url=url))
    service = Service(process, port, send_notification.bind(app))
    try:
        service.wait_for("/health", 200)
        yield service
    finally:
        service.http.close()
        app.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_notification_from_its_queue_to_the_log_in_every_pool(redis_url, pool):
    with running(redis_url, WORKER_POOL=pool) as service:
        service.wait_for("/ready", 200)
        sent = service.notify()
        result = sent.get(timeout=10)
        service.counted('notifications_total{notification_type="SMS",outcome="delivered"} 1.0')
        service.counted("consumer_bound 1.0")
        service.counted('celery_tasks_total{state="succeeded",task="tasks.send_notification"} 1.0')
        code, lines, errors = service.stop()
    delivered = [line for line in lines if line["event"] == "notification.delivered"]

    assert sent.id == str(result.notification_id)
    assert (0, "") == (code, errors)
    assert [(sent.id, sent.id, "SMS", "a***@example.com", "service2")] == [
        tuple(one[key] for key in ("task_id", "notification_id", "notification_type", "recipient", "service"))
        for one in delivered
    ]
    assert "hunter2" not in str(lines)


def test_the_broker_goes_freezes_and_comes_back(redis_to_break):
    with running(redis_to_break.url, WORKER_POOL="threads") as service:
        service.wait_for("/ready", 200)

        redis_to_break.pause()
        time.sleep(REMEMBERED_SECONDS)
        for _ in range(2):
            started = time.monotonic()
            assert "does not answer" in service.why()
            assert time.monotonic() - started < 2.5
            time.sleep(REMEMBERED_SECONDS)
        assert [200, 200] == [service.status("/health"), service.status("/metrics")]
        redis_to_break.resume()
        service.wait_for("/ready", 200)

        redis_to_break.stop()
        service.wait_for("/ready", 503)
        assert "cannot be reached" in service.why()
        assert 200 == service.status("/health")
        redis_to_break.start()
        service.wait_for("/ready", 200, seconds=30)
        assert service.notify().get(timeout=10)


def test_without_a_broker_it_lives_and_waits(redis_to_break):
    redis_to_break.stop()
    with running(redis_to_break.url, WORKER_POOL="solo") as service:
        assert [200, 503] == [service.status("/health"), service.status("/ready")]
        redis_to_break.start()
        service.wait_for("/ready", 200, seconds=30)


def test_what_runs_when_it_is_told_to_stop_is_finished_and_its_successor_gets_the_port(redis_url):
    with running(redis_url) as service:
        service.wait_for("/ready", 200)
        pending = [service.notify() for _ in range(20)]
        code, lines, errors = service.stop()
        with socket.create_server(("127.0.0.1", service.port)):
            pass
        started = {line["task_id"] for line in lines if line["event"] == "task.started"}
        done = {line["task_id"] for line in lines if line["event"] == "task.succeeded"}

        assert (0, "") == (code, errors)
        assert started == done
        assert len(done) <= len(pending)


def test_when_it_is_killed_its_children_do_not_keep_the_port(redis_url):
    with running(redis_url, WORKER_POOL="prefork") as service:
        service.wait_for("/ready", 200)
        service.process.kill()
        service.process.wait()
        with socket.create_server(("127.0.0.1", service.port)):
            pass


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HTTP_PORT": "70000"}, "HTTP_PORT is wrong"),
        ({"WORKER_CONCURRENCY": "hunter2"}, "WORKER_CONCURRENCY is wrong"),
        ({"CELERY_BROKER_URL": "http://hunter2@x/"}, "CELERY_BROKER_URL is wrong"),
        (
            {"CELERY_BROKER_URL": "redis://x/0?socket_timeout=hunter2"},
            "parameter socket_timeout would not mean the same",
        ),
        ({"CELERY_RESULT_BACKEND": "db+sqlite:///hunter2"}, "CELERY_RESULT_BACKEND is wrong"),
        ({"CELERY_BROKER_READ_URL": "redis://:hunter2@x/"}, "CELERY_BROKER_READ_URL would part worker and client"),
        ({"HTTP_HOST": "203.0.113.1"}, "HTTP_HOST=203.0.113.1"),
    ],
)
def test_a_wrong_environment_is_one_line_that_names_the_variable(environment, told, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith(("CELERY_", "HTTP_", "LOG_", "WORKER_"))]:
        monkeypatch.delenv(name)
    for name, value in ({"HTTP_PORT": str(free_port())} | environment).items():
        monkeypatch.setenv(name, value)
    code = main()
    out, err = capsys.readouterr()

    assert 1 == code
    assert told in err
    assert ("", 1, False) == (out, err.count("\n"), "hunter2" in err)
