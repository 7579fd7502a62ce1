"""Countdowns, times, expiry, revocation, priorities, queues: when and whether a task runs."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.interop.peers import Client, eventually, our_worker, sig

LATE_SECONDS = 1.5  # kombu's own timer, and a machine that others use as well


KOLKATA = {"timezone": "Asia/Kolkata"}


@pytest.mark.parametrize(
    "zone", [pytest.param({}, marks=pytest.mark.every_peer), KOLKATA, KOLKATA | {"enable_utc": False}]
)
def test_a_countdown_is_kept_and_never_early(zone, client):
    there = client.configured(**zone)
    before = time.time()
    ran = there.get(there.send("interop.stamp", [], countdown=1))
    assert before + 1 <= ran < before + 1 + LATE_SECONDS


def test_a_time_is_kept_and_never_early(client):
    due = datetime.now(UTC) + timedelta(seconds=1)
    ran = client.get(client.send("interop.stamp", [], eta=due))
    assert due.timestamp() <= ran < due.timestamp() + LATE_SECONDS


def test_a_time_in_the_past_is_now(client):
    assert client.get(client.send("interop.add", [1, 1], eta=datetime.now(UTC) - timedelta(hours=5)), timeout=3) == 2


def test_a_countdown_in_the_older_protocol_is_kept(client):
    old = client.configured(task_protocol=1)
    before = time.time()
    assert before + 1 <= old.get(old.send("interop.stamp", [], countdown=1)) < before + 1 + LATE_SECONDS


def test_a_countdown_of_a_message_that_speaks_of_another_is_kept(client):
    """Text that looks like `no eta` elsewhere in the message."""
    before = time.time()
    task = client.send("interop.stamp", [], countdown=1, headers={"job": {"eta": None}}, argsrepr='"eta": null')
    assert before + 1 <= client.get(task)


def test_what_waits_for_its_time_stands_in_nobodys_way(client):
    waiting = client.send_many("interop.stamp", [[]] * 30, countdown=1.5)
    assert client.get(client.send("interop.add", [1, 1]), timeout=1.4) == 2
    for task in waiting:
        client.get(task)


def test_each_link_of_a_chain_may_have_its_own_countdown(client):
    before = time.time()
    tree = ["chain", sig("interop.add", 1, 1), sig("interop.stamp", immutable=True, countdown=1)]
    assert before + 1 <= client.get(client.run(tree))


def test_a_task_that_expired_is_not_run(client, worker, key):
    task = client.send("interop.stamp", [key], countdown=1, expires=0.3)
    assert client.wait(task, "REVOKED")["ready"] is True
    assert client.failure(task).kind == "TaskRevokedError"
    assert worker.notes("stamp", key=key) == []


def test_a_task_runs_before_it_expires(client):
    assert client.get(client.send("interop.add", [1, 1], expires=60)) == 2
    later = datetime.now(UTC) + timedelta(seconds=60)
    assert client.get(client.send("interop.add", [1, 1], expires=later)) == 2


@pytest.mark.every_peer
def test_a_task_that_was_revoked_is_not_run(client, worker, key):
    task = client.send("interop.stamp", [key], countdown=1)
    client.revoke(task)
    assert client.wait(task, "REVOKED")["ready"] is True
    assert worker.notes("stamp", key=key) == []


def test_a_task_can_be_revoked_before_it_is_sent(client, worker, key):
    client.control("revoke", f"revoked-{key}", reply=True)
    task = client.send("interop.stamp", [key], task_id=f"revoked-{key}")
    client.wait(task, "REVOKED")
    assert worker.notes("stamp", key=key) == []


def test_tasks_can_be_revoked_by_a_stamp(start, own_url, client_at, peer):
    worker, client = start(our_worker, own_url), client_at(peer, own_url)
    client.control("revoke_by_stamped_headers", {"customer": ["gone"]}, reply=True)
    for customer in ("gone", "here"):
        stamped = {"stamped_headers": ["customer"], "stamps": {"customer": [customer]}}
        client.send("interop.once", [customer], headers={**stamped, "customer": [customer]})
    eventually(lambda: worker.notes("once", key="here"))
    assert worker.notes("once", key="gone") == []


def test_a_running_task_that_is_terminated_takes_no_other_along(client, worker, on_our_transport, key):
    """A thread cannot be killed: the task ends by itself, or at its limit. A process of prefork is killed."""
    task = client.send("interop.sleep", [2, key])
    eventually(lambda: worker.notes("sleep", key=key))
    client.revoke(task, terminate=True)
    client.wait(task, "SUCCESS" if on_our_transport else "REVOKED", "REVOKED")
    assert client.get(client.send("interop.add", [1, 1])) == 2


@pytest.fixture
def paused(client, worker, on_our_transport):
    """The worker takes nothing from these queues until it is told to."""

    def inspected():
        return client.inspect("active_queues")[worker.hostname]

    class Paused:
        def begin(self, *queues: str) -> None:
            for queue in queues:
                client.control("cancel_consumer", queue, reply=True)
            eventually(lambda: not {queue["name"] for queue in inspected()} & set(queues))
            time.sleep(0 if on_our_transport else 1.2)  # kombu's BRPOP for them, sent a second ago, is answered

        def end(self, *queues: str) -> None:
            for queue in queues:
                client.control("add_consumer", queue, reply=True)

    return Paused()


@pytest.mark.every_peer
def test_priority_zero_is_first(client, worker, paused, threads, key):
    paused.begin("third")
    for priority in (9, 6, 3, 0):
        for number in range(4):
            client.send("interop.stamp", [f"{priority} {number} {key}"], queue="third", priority=priority)
    paused.end("third")

    def ran():
        notes = [note for note in worker.notes("stamp") if str(note["key"]).endswith(key)]
        return notes if len(notes) == 16 else None

    order = [note["key"].split()[0] for note in sorted(eventually(ran), key=lambda note: note["at"])]
    if threads == 1:
        assert order == [priority for priority in "0369" for _ in range(4)]
    else:  # four at a time may change places; all in all, the urgent ones are first
        places = {priority: [place for place, one in enumerate(order) if one == priority] for priority in "09"}
        assert sum(places["0"]) < sum(places["9"])


@pytest.mark.parametrize(("priority", "stands_in"), [(None, 0), (1, 0), (5, 3), (7, 6), (9, 9), (12, 9)])
def test_a_priority_goes_to_the_list_that_kombu_keeps_for_it(
    priority, stands_in, client, own_url, own, client_at, peer
):
    there = client_at(peer, own_url)
    there.send("interop.add", [1, 1], queue="nobody", priority=priority)
    assert own.llen("nobody" if stands_in == 0 else f"nobody\x06\x16{stands_in}") == 1


def test_a_task_runs_from_the_queue_that_it_was_routed_to(client):
    for queue in ("default", "other", "third"):
        assert client.get(client.send("interop.request", queue=queue))["queue"] == queue
    routed = client.configured(task_routes={"interop.request": {"queue": "other", "priority": 3}})
    request = routed.get(routed.send("interop.request"))
    assert (request["queue"], request["priority"]) == ("other", 3)


def test_a_queue_of_our_own_making_is_drained_by_a_worker_named_for_it(start, own_url, client_at, peer):
    start(our_worker, own_url, queues="eu.orders-1,b")
    client: Client = client_at(peer, own_url)
    assert client.get(client.send("interop.request", queue="eu.orders-1"))["queue"] == "eu.orders-1"
    assert client.get(client.send("interop.request", queue="b"))["queue"] == "b"
