"""`celeriac worker`, `celeriac check`, `celeriac dead-letters`: no line in the app is needed."""

import json
import os
import signal
import socket
import urllib.request
from typing import Any

import pytest
from celeriac.tests.installed.conftest import SECONDS, Plain

pytestmark = pytest.mark.integration


def test_no_line_is_needed_with_celeriac_worker(plain: Plain, app: Any) -> None:
    words = "worker", "-A", "no_line", "-c", "2", "--pidfile", str(plain.folder / "pid")
    worker = plain.worker("celeriac", *words, from_nothing=True)
    assert worker.pid == app.send_task("no_line.pid").get(timeout=SECONDS)  # a thread of ours, no child
    eta = app.send_task("no_line.pid", countdown=30)
    plain.until(lambda: plain.client.zcard("celery-due"))
    assert "PENDING" == eta.state
    told = plain.command("celeriac", "check", "-A", "no_line")
    assert 1 == told.returncode
    assert "1 due later" in told.stdout


def test_a_worker_touches_its_health_file_and_runs_in_the_background(plain: Plain, app: Any) -> None:
    pid, health = plain.folder / "pid", plain.folder / "health"
    words = "worker", "-A", "no_line", "-D", "--pidfile", str(pid), "-f", str(plain.folder / "log")
    told = plain.command("celeriac", *words, PLAIN_HEALTH=str(health))
    assert 0 == told.returncode, told.stderr
    try:
        number = int(plain.until(lambda: pid.exists() and pid.read_text().strip(), 40))
        assert number == app.send_task("no_line.pid").get(timeout=SECONDS)
        assert health.exists()
    finally:
        os.kill(int(pid.read_text()), signal.SIGTERM)
    plain.until(lambda: not pid.exists())


def test_a_plain_worker_answers_probes_and_prometheus_at_the_port_of_its_settings(plain: Plain, app: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        words = "worker", "-A", "no_line", "-c", "2"
        told = plain.command("celeriac", *words, PLAIN_HTTP_PORT=str(port))
    assert 1 == told.returncode
    assert f"worker_http_port={port}: Address already in use; choose another port" in told.stderr
    assert "Traceback" not in told.stderr
    plain.worker("celeriac", *words, PLAIN_HTTP_PORT=str(port))
    assert app.send_task("no_line.pid").get(timeout=SECONDS)

    def shown(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    plain.until(lambda: 'celery_tasks_total{state="succeeded",task="no_line.pid"} 1.0' in shown("/metrics"))
    assert "celery_pool_threads 2.0" in shown("/metrics")
    assert {"status": "ready", "queues": ["celery"]} == json.loads(shown("/ready"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("celeriac", "worker"), 2, "celeriac: which app?"),
        (("celeriac", "check", "-A", "nothing_here"), 1, "no app 'nothing_here' here"),
        (("celeriac", "check", "--broker", "redis://127.0.0.1:1/0"), 2, "Redis does not answer"),
        (("celeriac", "check", "--broker", "nonsense://x"), 1, "this broker cannot be used"),
        (("celeriac", "check"), 2, "name the app with -A"),
        (("celeriac", "multi", "start", "w1"), 2, "celery -A proj multi"),
        (("celeriac", "dead-letters", "-A", "no_line", "--drop", "x"), 2, "not the id of a dead letter"),
        (("celery", "-A", "amqp_app", "worker"), 1, "the broker of this app is amqp"),
        (
            ("celeriac", "worker", "-A", "proj", "-P", "gevent"),
            1,
            "the pool gevent is not supported: it has no event loop",
        ),
        (("celery", "-A", "prefixed", "worker"), 1, "has a global_keyprefix"),
        (("celery", "-A", "wrong_option", "worker"), 1, "lease_seconds must be a number above 0, and it is '60'"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(words: tuple[str, ...], code: int, said: str, plain: Plain) -> None:
    told = plain.command(*words)
    assert (code, True) == (told.returncode, said in told.stderr), told.stderr
    assert "Traceback" not in told.stderr + told.stdout


def test_dead_letters_are_listed_replayed_and_dropped(plain: Plain, app: Any) -> None:
    plain.worker("celeriac", "worker", "-A", "proj", "-c", "1")
    app.send_task("proj.nobody")
    app.send_task("proj.nobody_else")
    plain.until(lambda: plain.client.xlen("celery-dead-celery") == 2)
    told = plain.command("celeriac", "check", "-A", "proj")
    assert (1, True) == (told.returncode, "2 dead letters:  celeriac dead-letters -A proj" in told.stdout)
    listed = plain.command("celeriac", "dead-letters", "-A", "proj").stdout.splitlines()
    assert [True, True] == ["unknown-task" in line for line in listed]
    again = plain.command("celeriac", "dead-letters", "-A", "proj", listed[0].split()[0], "--replay")
    assert "1 replayed, 0 stay" in again.stdout
    plain.until(lambda: plain.client.xlen("celery-dead-celery") == 2)
    assert "2 dropped" in plain.command("celeriac", "dead-letters", "-A", "proj", "--drop").stdout
    assert 0 == plain.command("celeriac", "check", "-A", "proj").returncode
