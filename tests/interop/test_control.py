"""Remote control of a worker of ours by a stock client."""

import time

import pytest
from tests.interop.peers import eventually, our_worker


def of(worker, replies):
    """The answer of this worker, of those that inspect brings."""
    assert replies is not None, "nobody answered"
    return replies[worker.hostname]


def queues(client, worker):
    return [queue["name"] for queue in of(worker, client.inspect("active_queues"))]


@pytest.mark.every_peer
def test_ping(client, worker):
    assert client.control("ping") == [{worker.hostname: {"ok": "pong"}}]
    assert of(worker, client.inspect("ping")) == {"ok": "pong"}


@pytest.mark.every_peer
def test_active_shows_what_runs(client, worker, key):
    task = client.send("interop.sleep", [2, key], {})
    eventually(lambda: worker.notes("sleep", key=key))
    active = eventually(
        lambda: next((one for one in of(worker, client.inspect("active")) if one["id"] == task), None), 1
    )
    assert (active["name"], active["hostname"]) == ("interop.sleep", worker.hostname)
    assert (active["args"], active["kwargs"]) == ([2, key], {})
    assert (active["acknowledged"], active["delivery_info"]["routing_key"]) == (False, "default")
    assert abs(time.time() - active["time_start"]) < 10
    assert active["worker_pid"] > 0
    client.get(task)
    eventually(lambda: of(worker, client.inspect("active")) == [])


def test_reserved_shows_only_what_has_not_started(client, worker, key):
    running = client.send("interop.sleep", [1.5, key])
    eventually(lambda: worker.notes("sleep", key=key))
    later = client.send_many("interop.add", [[1, 1]] * 3)
    reserved = {one["id"] for one in of(worker, client.inspect("reserved"))}
    assert running not in reserved
    assert reserved <= set(later)
    for task in (running, *later):
        client.get(task)


def test_scheduled_shows_what_this_worker_holds_for_later(start, own_url, client_at, peer, on_our_transport):
    worker, client = start(our_worker, own_url), client_at(peer, own_url)
    task = client.send("interop.add", [1, 1], countdown=30)
    if on_our_transport:  # it waits in Redis, for any worker
        assert of(worker, client.inspect("scheduled")) == []
    else:
        (scheduled,) = eventually(lambda: of(worker, client.inspect("scheduled")))
        assert scheduled["request"]["id"] == task


def test_registered_names_the_tasks(client, worker):
    names = {name.split(" ")[0] for name in of(worker, client.inspect("registered"))}
    assert {"interop.add", "interop.shout"} <= names


@pytest.mark.every_peer
def test_stats_count_the_tasks(client, worker, threads):
    before = of(worker, client.inspect("stats"))
    for task in client.send_many("interop.add", [[1, 1]] * 20):
        client.get(task)
    after = of(worker, client.inspect("stats"))
    assert after["total"]["interop.add"] - before["total"].get("interop.add", 0) == 20
    assert after["pool"]["max-concurrency"] == threads
    assert after["broker"]["hostname"] == "127.0.0.1"
    assert after["prefetch_count"] >= 0
    assert after["pid"] == worker.process.pid


def test_the_settings_are_shown_without_secrets(client, worker):
    conf = of(worker, client.inspect("conf"))
    assert conf["task_acks_late"] is True


def test_the_queues_of_a_worker_are_shown(client, worker):
    queues = of(worker, client.inspect("active_queues"))
    assert [queue["name"] for queue in queues] == ["default", "other", "third"]
    assert {queue["exchange"]["type"] for queue in queues} == {"direct"}


def test_a_report_and_a_clock_are_given(client, worker):
    assert "celery" in of(worker, client.inspect("report"))["ok"]
    assert of(worker, client.inspect("clock"))["clock"] > 0


def test_query_task_finds_what_runs(client, worker, key):
    task = client.send("interop.sleep", [1.5, key])
    eventually(lambda: worker.notes("sleep", key=key))
    ((state, info),) = eventually(lambda: of(worker, client.inspect("query_task", task)).values(), 1)
    assert (state, info["id"]) == ("active", task)
    client.get(task)


@pytest.mark.every_peer
def test_a_queue_is_taken_up_and_left_again(client, worker, on_our_transport):
    client.control("add_consumer", "extra", reply=True)
    eventually(lambda: "extra" in queues(client, worker))
    assert client.get(client.send("interop.request", queue="extra"))["queue"] == "extra"
    client.control("cancel_consumer", "extra", reply=True)
    eventually(lambda: "extra" not in queues(client, worker))
    time.sleep(0 if on_our_transport else 1.2)  # kombu's BRPOP for it, sent a second ago, is answered
    left = client.send("interop.add", [1, 1], queue="extra")
    assert client.get(client.send("interop.add", [1, 1])) == 2
    time.sleep(0.3)
    assert client.look(left)["state"] == "PENDING"
    client.control("add_consumer", "extra", reply=True)
    assert client.get(left) == 2
    client.control("cancel_consumer", "extra", reply=True)


@pytest.mark.every_peer
def test_a_rate_limit_is_kept_and_lifted(client, worker):
    assert "ok" in client.control("rate_limit", "interop.stamp", "4/s", reply=True)[0][worker.hostname]
    tasks = client.send_many("interop.stamp", [[]] * 5)
    ran = sorted(client.get(task) for task in tasks)
    assert ran[-1] - ran[0] > 0.7  # four gaps of a quarter of a second
    client.control("rate_limit", "interop.stamp", "0", reply=True)

    def spread():
        ran = sorted(client.get(task) for task in client.send_many("interop.stamp", [[]] * 5))
        return ran[-1] - ran[0]

    eventually(lambda: spread() < 0.7)


def test_a_rate_limit_does_not_hold_other_tasks_up(client, worker):
    client.control("rate_limit", "interop.stamp", "1/s", reply=True)
    slow = client.send_many("interop.stamp", [[]] * 3)
    assert client.get(client.send("interop.add", [1, 1]), timeout=5) == 2
    client.control("rate_limit", "interop.stamp", "0", reply=True)
    for task in slow:
        client.get(task)


def test_a_time_limit_from_outside_is_taken_note_of(client, worker):
    """Celery takes the limits of a task when it starts, so that a new one holds for nothing; told, at least, it is."""
    reply = client.control("time_limit", "interop.patient", soft=60, hard=120, reply=True)
    assert reply == [{worker.hostname: {"ok": "time limits set successfully"}}]
    registered = of(worker, client.inspect("registered", "soft_time_limit"))
    assert "interop.patient [soft_time_limit=60]" in registered


@pytest.mark.every_peer
def test_shutdown_ends_the_worker_in_peace(client_at, peer, start, own_url):
    worker = start(our_worker, own_url)
    client = client_at(peer, own_url)
    task = client.send("interop.sleep", [1, "before the end"])
    eventually(lambda: worker.notes("sleep"))
    client.control("shutdown")
    assert worker.process.wait(20) == 0, worker.output()
    assert client.get(task) == "before the end"


def test_a_worker_is_told_by_its_name(client, worker):
    assert client.control("ping", destination=["nobody@nowhere"], timeout=0.3) == []
    assert client.control("ping", destination=[worker.hostname]) != []
