"""What becomes of messages when plain workers die, stop, hang, or run in another pool; with and without the line."""

import os
import signal
import subprocess
import time
from typing import Any

import pytest
from celeriac.tests.installed.conftest import Plain
from celery import Celery
from celery.result import AsyncResult

from celeriac.app import installation
from celeriac.app.installation import install

pytestmark = pytest.mark.integration
SECONDS = 25.0
BACK_SECONDS = 15.0  # a lease of 1 s, and some for a busy machine


@pytest.fixture
def app(plain: Plain) -> Any:
    """A stock client."""
    with Celery("client", broker=plain.url, backend=plain.url, set_as_current=False) as client:
        yield client


def send(app: Any, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    sent: AsyncResult[Any] = app.send_task(f"proj.celery.{task}", args, **options)
    return sent


def ends(plain: Plain, process: subprocess.Popen[bytes], seconds: float = SECONDS) -> int:
    plain.until(lambda: process.poll() is not None, seconds)
    return int(process.returncode)


def test_what_a_killed_worker_ran_comes_back_after_its_lease(plain: Plain, app: Any) -> None:
    first = plain.worker("celery", "-A", "proj", "worker", "-c", "2")
    sent = send(app, "note", "a", 3.0)
    plain.until(lambda: plain.notes("a"))
    first.kill()
    plain.worker("celeriac", "worker", "-A", "proj", "-c", "2")
    plain.until(lambda: len(plain.notes("a")) == 2, BACK_SECONDS)
    assert "a" == sent.get(timeout=SECONDS)
    assert 2 == len(set(plain.notes("a")))


def test_a_task_that_says_acks_late_false_runs_at_most_once(plain: Plain, app: Any) -> None:
    first = plain.worker("celery", "-A", "proj", "worker", "-c", "2")
    send(app, "at_most_once", "b", 20.0)
    plain.until(lambda: plain.notes("b"))
    plain.until(lambda: not plain.client.hlen("unacked"))
    first.kill()
    plain.worker("celery", "-A", "proj", "worker", "-c", "2")
    assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    time.sleep(3)  # longer than a lease
    assert 1 == len(plain.notes("b"))


def test_a_hard_limit_ends_the_process_and_the_message_comes_back_until_it_is_poison(plain: Plain, app: Any) -> None:
    sent = send(app, "note", "c", 30.0)
    for _ in range(3):
        worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1", "--time-limit", "0.5")
        assert 70 == ends(plain, worker)
    assert 3 == len(plain.notes("c"))
    plain.worker("celery", "-A", "proj", "worker", "-c", "1", "--time-limit", "0.5")
    plain.until(lambda: sent.state == "FAILURE")
    assert 1 == plain.client.xlen("celery-dead-celery")


def test_a_stop_waits_for_what_runs_as_celerys_does(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1")
    sent = send(app, "note", "d", 2.0)
    plain.until(lambda: plain.notes("d"))
    worker.terminate()
    assert 0 == ends(plain, worker)
    assert "SUCCESS" == sent.state
    assert 0 == plain.client.zcard("celery-leases")


def test_django_settings_work_with_a_bound_of_their_own_for_a_stop(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "site_app", "worker", "-c", "2")
    assert 8 == app.send_task("site_app.double", (4,), queue="site").get(timeout=SECONDS)
    with_the_other = app.send_task("site_app.sends_with_the_other", queue="site").get(timeout=SECONDS)
    assert with_the_other in str(plain.client.lrange("elsewhere", 0, -1))
    app.send_task("site_app.naps", (60.0,), queue="site")
    plain.until(lambda: plain.client.hlen("unacked"))
    worker.terminate()
    assert 0 == ends(plain, worker)  # after 2 s, not 60
    assert 1 == plain.client.llen("site")


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_celerys_own_pools_run_over_our_transport(pool: str, plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "2", "-P", pool)
    assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    assert 2 == send(app, "again", 2).get(timeout=SECONDS)
    send(app, "note", "e").get(timeout=SECONDS)
    assert (pool == "prefork") == (plain.notes("e") != [str(worker.pid)])
    assert "celery-leases" in str(plain.client.keys("*")) or not plain.client.hlen("unacked")
    sent = send(app, "note", "f", 2.0)
    plain.until(lambda: plain.client.zcard("celery-leases"))
    os.killpg(worker.pid, signal.SIGKILL)
    plain.worker("celery", "-A", "proj", "worker", "-c", "2", "-P", pool)
    assert "f" == sent.get(timeout=SECONDS)


def test_the_setting_worker_pool_is_obeyed(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1", PLAIN_POOL="prefork")
    send(app, "note", "g").get(timeout=SECONDS)
    assert plain.notes("g") != [str(worker.pid)]


def test_options_of_child_processes_are_said_to_do_nothing_in_threads(plain: Plain, app: Any) -> None:
    worker = plain.worker(
        "celery", "-A", "proj", "worker", "--autoscale", "6,2", "--max-tasks-per-child", "1", "-E", "-B", "-n", "w1@%h"
    )  # fmt: skip
    assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    assert "--autoscale is for -P prefork; 6 threads are started at once" in plain.log()
    assert "max_tasks_per_child is about child processes" in plain.log()
    assert "beat" in plain.log()
    worker.terminate()
    assert 0 == ends(plain, worker)


def test_no_line_is_needed_with_celeriac_worker(plain: Plain, app: Any) -> None:
    worker = plain.worker("celeriac", "worker", "-A", "no_line", "-c", "2", "--pidfile", str(plain.folder / "pid"))
    assert worker.pid == app.send_task("no_line.pid").get(timeout=SECONDS)  # a thread of ours, no child
    eta = app.send_task("no_line.pid", countdown=30)
    plain.until(lambda: plain.client.zcard("celery-due"))
    assert "PENDING" == eta.state
    told = plain.command("celeriac", "check", "-A", "no_line")
    assert 1 == told.returncode
    assert "1 due later" in told.stdout


def test_after_the_line_is_deleted_stock_workers_run_what_is_left(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1")
    sent = [send(app, "note", "h", 0.3) for _ in range(10)]
    plain.until(lambda: plain.notes("h"))
    worker.terminate()
    assert 0 == ends(plain, worker)
    told = plain.command("celeriac", "check", "-A", "proj")
    assert 0 == told.returncode, told.stdout + told.stderr
    assert "can be deleted" in told.stdout
    plain.worker("celery", "-A", "proj", "worker", "-c", "2", PLAIN_STOCK="1")
    assert ["h"] * 10 == [one.get(timeout=SECONDS) for one in sent]


@pytest.mark.parametrize("results", ["none", "file", "rpc"])
def test_plain_tasks_are_committed_whatever_becomes_of_their_results(results: str, plain: Plain, app: Any) -> None:
    (plain.folder / "results").mkdir()
    where = {"none": "", "file": f"file://{plain.folder}/results", "rpc": "rpc://"}[results]
    plain.worker("celery", "-A", "proj", "worker", "-c", "2", PLAIN_RESULTS=where)
    send(app, "with_base", 3)
    assert "SUCCESS 0" == plain.until(lambda: plain.client.lpop("hooks"))  # after the commit: no lease any more
    if where:
        with Celery("reader", broker=plain.url, backend=where, set_as_current=False) as reader:
            assert reader.send_task("proj.celery.parent").get(timeout=SECONDS, interval=0.05)
            assert 5 == reader.send_task("proj.celery.with_base", (5,)).get(timeout=SECONDS, interval=0.05)


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


def test_what_a_dead_worker_had_claimed_is_given_back_by_check(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1")
    send(app, "note", "i", 30.0)
    plain.until(lambda: plain.notes("i"))
    worker.kill()
    worker.wait()
    time.sleep(1.5)
    told = plain.command("celeriac", "check", "--broker", plain.url)
    assert (1, True) == (told.returncode, "1 of them are of workers that died" in told.stdout), told.stdout
    told = plain.command("celeriac", "check", "--broker", plain.url, "--give-back", "--json")
    assert '"claimed": {}' in told.stdout
    assert 1 == plain.client.llen("celery")


def test_where_one_of_several_brokers_is_away_the_next_one_is_claimed_from(plain: Plain, app: Any) -> None:
    several = f"redis://127.0.0.1:1/8;{plain.url}"
    plain.worker("celery", "-A", "failover", "worker", "-c", "2", PLAIN_BROKER=several)
    app.send_task("failover.naps", (1.0,))
    plain.until(lambda: plain.client.zcard("celery-leases"))
    assert app.send_task("failover.parent").get(timeout=SECONDS)
    told = plain.command("celeriac", "check", "-A", "failover", PLAIN_BROKER=several)
    assert 0 == told.returncode, told.stdout + told.stderr


def test_content_that_is_no_json_goes_celerys_own_way(plain: Plain) -> None:
    # Celery refuses pickle to root, and some containers run tests as root.
    plain.worker("celery", "-A", "pickles", "worker", "-c", "2", C_FORCE_ROOT="1")
    with Celery("client", broker=plain.url, backend=plain.url, set_as_current=False) as app:
        app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle", "json"])
        assert {1, 2} == app.send_task("pickles.same", ({1, 2},)).get(timeout=SECONDS)


def test_two_installs_in_one_process_do_not_part_worker_and_client(plain: Plain) -> None:
    app = install(install(Celery("client", broker=plain.url, backend=plain.url, set_as_current=False)))
    try:
        plain.worker("celery", "-A", "proj", "worker", "-c", "1")
        assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    finally:
        app.close()
        installation.forget_installed()
