"""When a message is acknowledged, given back, dropped; and the limits of a run."""

import signal
import time

import pytest
from tests.interop.peers import eventually, lease, our_worker


def held(database):
    return database.hlen("unacked")


def test_a_message_is_kept_until_its_task_is_done(client):
    assert client.get(client.send("interop.late", [0.4])) is False


def test_a_task_that_wants_it_so_is_acknowledged_before_it_runs(client):
    assert client.get(client.send("interop.early", [5])) is True


def test_an_ignored_task_is_done_and_has_no_result(client, worker, database):
    task = client.send("interop.ignored")
    eventually(lambda: worker.notes("ignored", id=task))
    assert client.get(client.send("interop.add", [1, 1])) == 2
    assert client.look(task)["state"] in ("PENDING", "STARTED")
    eventually(lambda: held(database) == 0)


def test_a_rejected_message_that_is_to_come_back_comes_back(client, worker, key):
    task = client.send("interop.rejected", [key, True])
    assert client.get(task) == 2
    assert [note["starts"] for note in worker.notes("rejected", id=task)] == [1, 2]


def test_a_rejected_message_is_dropped(client, worker, database, key):
    task = client.send("interop.rejected", [key, False])
    eventually(lambda: worker.notes("rejected", id=task))
    assert client.get(client.send("interop.add", [1, 1])) == 2
    eventually(lambda: held(database) == 0)
    assert [note["starts"] for note in worker.notes("rejected", id=task)] == [1]


@pytest.mark.every_peer
def test_a_task_can_end_itself_at_its_soft_limit(client):
    assert client.get(client.send("interop.patient", [10], soft_time_limit=1)) == "soft limit"
    assert client.get(client.send("interop.patient", [0.1], soft_time_limit=1)) == "to its end"


def test_a_task_that_does_not_catch_its_soft_limit_fails(client):
    failure = client.failure(client.send("interop.sleep", [10, "soft"], soft_time_limit=1))
    assert failure.kind == "SoftTimeLimitExceeded"
    assert client.get(client.send("interop.add", [1, 1])) == 2


def test_a_task_ends_at_its_hard_limit_and_its_neighbours_do_not(
    client_at, peer, start, own_url, own, threads, on_our_transport
):
    """A thread cannot be killed: there the process ends, and what it held goes to the next one."""
    client = client_at(peer, own_url)
    worker = start(our_worker, own_url, threads=threads, environ=limits(on_our_transport))
    before = client.send_many("interop.add", [[1, number] for number in range(10)])
    hanging = client.send("interop.sleep", [60, "hard"], time_limit=1)
    after = client.send_many("interop.add", [[2, number] for number in range(10)])
    if on_our_transport:
        assert worker.process.wait(20) != 0
        while not client.look(after[-1])["ready"] or own.xlen("celery-dead-default") == 0:
            worker = start(our_worker, own_url, threads=threads, name=f"next-{time.time_ns()}", environ=limits(True))
            eventually(lambda: not worker.alive() or own.xlen("celery-dead-default"), 30)  # noqa: B023  called at once
    else:
        assert client.failure(hanging).kind == "TimeLimitExceeded"
        assert worker.alive()
    assert [client.get(task) for task in before + after] == [*range(1, 11), *range(2, 12)]
    eventually(lambda: held(own) == 0)


def limits(on_our_transport):
    return {**lease(2), "CELERY_MAX_STARTS": "2"} if on_our_transport else {}


INTERRUPT = pytest.param(signal.SIGINT, marks=pytest.mark.heavy)


@pytest.mark.parametrize("how", [signal.SIGTERM, INTERRUPT], ids=["SIGTERM", "Ctrl-C"])
def test_a_worker_that_is_asked_to_stop_finishes_what_runs_and_gives_back_the_rest(
    how, client_at, peer, start, own_url, own, threads
):
    client = client_at(peer, own_url)
    worker = start(our_worker, own_url, threads=threads)
    tasks = client.send_many("interop.sleep", [[0.3, f"stop {number}"] for number in range(8)])
    eventually(lambda: len(worker.notes("sleep")) >= threads)
    worker.signal(how)
    assert worker.process.wait(20) == (0 if how == signal.SIGTERM else 1), worker.output()  # as Celery has it
    assert len(worker.notes("sleep")) == len(worker.notes("slept")) < 8
    eventually(lambda: held(own) == 0)
    start(our_worker, own_url, threads=threads, name="next")
    assert [client.get(task, timeout=20) for task in tasks] == [f"stop {number}" for number in range(8)]


@pytest.mark.parametrize("how", ["Ctrl-C twice", "SIGQUIT"])
def test_a_worker_that_is_told_to_leave_at_once_loses_nothing(how, client_at, peer, start, own_url, own, threads):
    client = client_at(peer, own_url)
    worker = start(our_worker, own_url, threads=threads, environ=lease(2))
    running = client.send("interop.sleep", [2, "cold"])
    tasks = client.send_many("interop.add", [[number, number] for number in range(20)])
    eventually(lambda: worker.notes("sleep"))
    if how == "SIGQUIT":
        worker.signal(signal.SIGQUIT)
    else:
        worker.signal(signal.SIGINT)
        time.sleep(0.3)
        worker.signal(signal.SIGINT)
    worker.process.wait(20)
    start(our_worker, own_url, threads=threads, name="next", environ=lease(2))
    assert client.get(running, timeout=40) == "cold"
    # What could not be given back in time comes back after its lease and the next look for such: 2 + 5 + 5 s.
    assert [client.get(task, timeout=30) for task in tasks] == [2 * number for number in range(20)]
    eventually(lambda: held(own) == 0)
