"""What becomes of messages when plain workers die, stop or hang, and when the line is deleted."""

import json
import time
from typing import Any

import pytest
from celeriac.tests.installed.conftest import SECONDS, Plain, ends, send

pytestmark = pytest.mark.integration
BACK_SECONDS = 15.0  # a lease of 1 s, and some for a busy machine


def test_what_a_killed_worker_ran_comes_back_after_its_lease(plain: Plain, app: Any) -> None:
    first = plain.worker("celery", "-A", "proj", "worker", "-c", "2")
    sent = send(app, "note", "a", 3.0)
    plain.until(lambda: plain.notes("a"))
    first.kill()
    plain.worker("celeriac", "worker", "-A", "proj", "-c", "2")
    plain.until(lambda: len(plain.notes("a")) == 2, BACK_SECONDS)
    assert "a" == sent.get(timeout=SECONDS)
    assert 2 == len(set(plain.notes("a")))


def test_messages_of_a_priority_come_back_where_an_app_names_its_lists_in_its_own_way(plain: Plain, app: Any) -> None:
    """Celery's documentation says to set `sep` where priorities are used."""
    own = {"sep": ":", "priority_steps": list(range(10)), "queue_order_strategy": "priority"}
    app.conf.broker_transport_options = own
    first = plain.worker("celery", "-A", "proj", "worker", "-c", "1", PLAIN_OPTIONS=json.dumps(own))
    assert 1 == send(app, "again", 1, priority=4).get(timeout=SECONDS)
    sent = send(app, "note", "a:b", 3.0, priority=4)
    unknown = send(app, "nobody", priority=4)
    plain.until(lambda: plain.notes("a:b"))
    first.kill()
    plain.worker("celery", "-A", "proj", "worker", "-c", "1", PLAIN_OPTIONS=json.dumps(own))
    assert "a:b" == sent.get(timeout=SECONDS)
    plain.until(lambda: unknown.state == "FAILURE")
    replayed = plain.command("celeriac", "dead-letters", "-A", "proj", "--replay", PLAIN_OPTIONS=json.dumps(own))
    assert "1 replayed" in replayed.stdout
    plain.until(lambda: plain.client.xlen("celery-dead-celery"))
    assert not plain.client.keys("celery:*")


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
    for _ in range(2):
        worker = plain.worker("celery", "-A", "proj", "worker", "-c", "1", "--time-limit", "0.5")
        assert 70 == ends(plain, worker)
    assert 2 == len(plain.notes("c"))
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
