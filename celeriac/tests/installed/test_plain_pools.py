"""Plain workers in every pool, with every kind of result and message."""

import os
import signal
from typing import Any

import pytest
from celeriac.tests.installed.conftest import SECONDS, Plain, ends, send
from celery import Celery

from celeriac.app import installation
from celeriac.app.installation import install

pytestmark = pytest.mark.integration


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


def test_threads_are_one_process_for_the_signals_of_processes(plain: Plain, app: Any) -> None:
    """Apps open their connections to a database when worker_process_init is sent."""
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "2")
    assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    assert [f"begins {worker.pid}"] == plain.client.lrange("processes", 0, -1)
    worker.terminate()
    assert 0 == ends(plain, worker)
    assert [f"begins {worker.pid}", f"ends {worker.pid}"] == plain.client.lrange("processes", 0, -1)


def test_the_setting_worker_pool_is_obeyed(plain: Plain, app: Any) -> None:
    worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1", PLAIN_POOL="prefork")
    send(app, "note", "g").get(timeout=SECONDS)
    assert plain.notes("g") != [str(worker.pid)]


def test_options_of_child_processes_are_said_to_do_nothing_in_threads(plain: Plain, app: Any) -> None:
    options = "--autoscale", "6,2", "--max-tasks-per-child", "1", "-E", "-B", "-s", str(plain.folder / "beat")
    worker = plain.worker("celery", "-A", "proj", "worker", *options)
    assert 3 == send(app, "add", 1, 2).get(timeout=SECONDS)
    assert "--autoscale is for -P prefork; 6 threads are started at once" in plain.log()
    assert "max_tasks_per_child is about child processes" in plain.log()
    assert "beat" in plain.log()
    worker.terminate()
    assert 0 == ends(plain, worker)


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


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_worker_of_a_plain_app_imports_nothing_that_only_contracts_and_services_need(
    pool: str, plain: Plain, app: Any
) -> None:
    plain.worker("celery", "-A", "imports", "worker", "-c", "1", "-P", pool, from_nothing=True)
    imported = {*app.send_task("imports.imported").get(timeout=SECONDS)}
    assert "celeriac.run.runner" in imported
    assert set() == imported & {"pydantic", "structlog", "rich", "fastapi", "httpx", "prometheus_client"}
