"""Workers of ours and stock workers on the same queues; our producers and stock workers."""

import time

import pytest
from tests.interop.contracts import Said, Say, shout
from tests.interop.peers import eventually, lease, our_worker, restore, stock_worker

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings

SHORT_SECONDS = 3  # a stock worker's visibility timeout
QUICK = {
    "broker_transport_options": {
        "visibility_timeout": SHORT_SECONDS,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
}
LATE = {"task_acks_late": True, "worker_prefetch_multiplier": 2, **QUICK}


@pytest.fixture
def producer(own_url):
    app = make_app("producer", CelerySettings(broker_url=own_url))
    yield app
    app.close()


@pytest.mark.every_peer
def test_a_stock_worker_runs_what_our_producer_sends(peer, start, own_url, producer):
    start(stock_worker, peer, own_url)
    bound = shout.bind(producer)
    assert bound.delay(Say(source_service="test", text="straße")).get(timeout=20) == Said(
        source_service="stock", text="STRASSE"
    )
    chosen = bound.apply_async(Say(source_service="test", text="a"), queue="other", priority=6, expires=60)
    assert chosen.get(timeout=10).text == "A"
    with pytest.raises(Exception, match="as you wish"):
        bound.apply_async(Say(source_service="test", text="please fail")).get(timeout=10)


def test_a_stock_worker_runs_what_our_producer_sends_by_the_thousand(peer, start, own_url, own, producer):
    start(stock_worker, peer, own_url, threads=2)
    bound = shout.bind(producer)
    payloads = [Say(source_service="test", text=f"number {number}") for number in range(1000)]
    bound.publish_many(payloads)
    last = bound.pending(payloads[-1].task_id)
    assert last.get(timeout=60).text == "NUMBER 999"
    eventually(lambda: own.llen("default") == 0 and own.hlen("unacked") == 0)
    assert all(bound.pending(payload.task_id).get(timeout=5).text == payload.text.upper() for payload in payloads[::50])


def test_a_stock_worker_retries_what_our_producer_sends(peer, start, own_url, producer):
    worker = start(stock_worker, peer, own_url)
    task = producer.send_task("interop.again", args=[2], queue="default")
    assert task.get(timeout=20) == 2
    assert [note["retries"] for note in worker.notes("again")] == [0, 1, 2]


@pytest.mark.every_peer
def test_side_by_side_each_task_is_done_once_and_each_worker_has_its_share(
    peer, start, own_url, own, client_at, threads
):
    workers = start(stock_worker, peer, own_url), start(our_worker, own_url, threads=threads)
    client = client_at(peer, own_url)
    # Long enough that one alone could not be done before the other takes its first.
    client.send_many("interop.sleep", [[0.02, number] for number in range(120)], ignore_result=True)
    shares = eventually(lambda: done(workers, 120), 40)
    assert sorted(shares[0] + shares[1]) == list(range(120))
    assert min(len(share) for share in shares) >= 12
    eventually(lambda: own.hlen("unacked") == 0)
    assert own.zcard("unacked_index") == 0


def done(workers, number):
    shares = [[note["key"] for note in worker.notes("slept")] for worker in workers]
    return shares if sum(map(len, shares)) >= number else None


def test_a_chain_goes_back_and_forth_between_them(peer, start, own_url, client_at):
    start(stock_worker, peer, own_url, queues="other")
    start(our_worker, own_url, queues="default")
    client = client_at(peer, own_url)
    queues = ["default", "other", "default", "other"]
    tree = [
        "chain",
        *(
            ["sig", "interop.add", [1] if number else [0, 1], {}, {"queue": queue}]
            for number, queue in enumerate(queues)
        ),
    ]
    assert client.get(client.run(tree)) == 4
    members = [["sig", "interop.add", [number, 1], {}, {"queue": queues[number]}] for number in range(4)]
    assert client.get(client.run(["chord", members, ["sig", "interop.total", [], {}, {"queue": "other"}]])) == 10
    assert client.get(client.run(["chord", members, ["sig", "interop.total", [], {}, {"queue": "default"}]])) == 10


def test_what_a_killed_stock_worker_held_comes_back_while_ours_lives(peer, start, own_url, own, client_at):
    client = client_at(peer, own_url)
    stock = start(stock_worker, peer, own_url, conf=LATE)
    tasks = client.send_many("interop.sleep", [[1, number] for number in range(2)])
    eventually(lambda: stock.notes("sleep"))
    stock.kill()
    killed = time.monotonic()
    ours = start(our_worker, own_url, conf=QUICK)
    assert [client.get(task, timeout=SHORT_SECONDS + 20) for task in tasks] == [0, 1]
    assert time.monotonic() - killed < SHORT_SECONDS + 20
    assert sorted(note["key"] for note in ours.notes("slept")) == [0, 1]
    eventually(lambda: own.hlen("unacked") == 0)


def test_what_a_living_stock_worker_holds_is_left_to_it(peer, start, own_url, client_at):
    """Its claim is younger than its own visibility timeout, however long our leases are."""
    client = client_at(peer, own_url)
    patient = {"task_acks_late": True, "broker_transport_options": {"visibility_timeout": 3600}}
    stock = start(stock_worker, peer, own_url, conf=patient)
    task = client.send("interop.sleep", [2.5, "long"])
    eventually(lambda: stock.notes("sleep"))
    ours = start(our_worker, own_url, environ=lease(1))
    assert client.get(task) == "long"
    assert (len(stock.notes("sleep")), ours.notes("sleep")) == (1, [])


def test_what_a_killed_worker_of_ours_held_is_given_back_when_only_stock_workers_live(
    peer, start, own_url, own, client_at, on_our_transport
):
    if peer == "celery-5.3" and not on_our_transport:
        pytest.skip("kombu 5.3 looks for what was left behind every 100 s")
    client = client_at(peer, own_url)
    ours = start(our_worker, own_url, environ=lease(1), conf=QUICK)
    tasks = client.send_many("interop.sleep", [[1, number] for number in range(3)])
    eventually(lambda: ours.notes("sleep"))
    ours.kill()
    claims = own.hlen("unacked")
    stock = start(stock_worker, peer, own_url, conf=LATE)
    restore(own, claims)
    assert sorted(client.get(task, timeout=30) for task in tasks) == [0, 1, 2]
    assert sorted(note["key"] for note in stock.notes("slept")) == [0, 1, 2]
    eventually(lambda: own.hlen("unacked") == 0)
