"""What others see of a running task: events on the wire, signals in the worker. As with a stock worker."""

import pytest
from tests.interop.peers import eventually, our_worker, stock_worker

RAN = ["interop.add", [1, 2]], ["interop.boom", ["seen"]], ["interop.again", [1]], ["interop.quiet", ["seen"]]


def tell(client):
    """The events of one task each of RAN and of one that was revoked: name -> the events' types, and type -> fields."""
    client.control("enable_events", reply=True)
    client.listen()
    client.control("revoke", "seen-revoked", reply=True)
    sent = {name: client.send(name, args) for name, args in RAN}
    sent["revoked"] = client.send("interop.add", [1, 1], task_id="seen-revoked")
    client.wait(sent["revoked"], "REVOKED")
    client.get(sent["interop.again"])
    last = client.send("interop.add", [9, 9])
    client.get(last)
    events = client.heard("task-succeeded", last)
    names = {task: name for name, task in sent.items()}
    order, fields = {}, {}
    for event in events:
        if event.get("uuid") in names:
            order.setdefault(names[event["uuid"]], []).append(event["type"])
            fields.setdefault(event["type"], set()).update(event)
    return order, fields, events


@pytest.mark.every_peer
def test_a_worker_of_ours_sends_the_events_of_a_stock_worker(peer, client_at, start, own_url, own, threads):
    stock = start(stock_worker, peer, own_url)
    client = client_at(peer, own_url)
    expected_order, expected_fields, _ = tell(client)
    stock.stop()
    worker = start(our_worker, own_url, threads=threads)
    order, fields, events = tell(client)
    if threads > 1:  # a retry may be received before its task has said that there is one
        order, expected_order = [
            {name: sorted(types) for name, types in one.items()} for one in (order, expected_order)
        ]
    assert order == expected_order
    assert {kind: sorted(names) for kind, names in fields.items()} == {
        kind: sorted(names) for kind, names in expected_fields.items()
    }
    received = next(event for event in events if event["type"] == "task-received" and event["name"] == "interop.add")
    same = [event for event in events if event.get("uuid") == received["uuid"]]
    succeeded = next(event for event in same if event["type"] == "task-succeeded")
    failed = next(event for event in events if event["type"] == "task-failed")
    assert succeeded["hostname"] == worker.hostname
    assert succeeded["result"] == "3"
    assert 0 <= succeeded["runtime"] < 5
    assert (received["name"], received["args"], received["kwargs"]) == ("interop.add", "[1, 2]", "{}")
    assert failed["exception"] == "ValueError('seen')"
    assert failed["traceback"].endswith("ValueError: seen\n")


def test_no_events_are_sent_until_somebody_asks(client_at, peer, start, own_url):
    start(our_worker, own_url)
    client = client_at(peer, own_url)
    client.listen()
    client.get(client.send("interop.add", [1, 1]))
    assert [event["type"] for event in client.heard() if event["type"].startswith("task")] == []
    client.control("enable_events", reply=True)
    client.listen()
    task = client.send("interop.add", [1, 1])
    assert "task-succeeded" in [event["type"] for event in client.heard("task-succeeded", task)]
    client.control("disable_events", reply=True)
    client.listen()
    client.get(client.send("interop.add", [1, 1]))
    assert [event["type"] for event in client.heard() if event["type"].startswith("task")] == []


ALL = ["task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_received", "task_revoked"]


ONE = pytest.param(["task_postrun"], marks=pytest.mark.heavy)


@pytest.mark.parametrize("names", [ALL, ALL[:5], ONE], ids=["all", "of runs", "one"])
def test_signals_are_sent_as_in_a_stock_worker(names, client_at, peer, start, own_url, own, threads):
    client = client_at(peer, own_url)
    expected = signals(client, start(stock_worker, peer, own_url, signals=names))
    assert expected != []
    found = signals(client, start(our_worker, own_url, threads=threads, signals=names))
    if peer != "celery-newest":  # what signals bring along has grown since
        found, expected = [[one[:2] for one in seen] for seen in (found, expected)]
    assert found == expected


def signals(client, worker):
    client.control("revoke", "signals-revoked", reply=True)
    sent = [client.send(name, args) for name, args in RAN]
    sent.append(client.send("interop.add", [1, 1], task_id="signals-revoked"))
    client.wait(sent[-1], "REVOKED")
    client.get(sent[2])
    client.get(client.send("interop.add", [9, 9]))
    eventually(lambda: worker.notes("quiet"))
    seen = [
        (note["task"], note["signal"], tuple(note["fields"])) for note in worker.notes("signal") if note["id"] in sent
    ]
    client.forget(sent[-1])
    assert worker.stop() == 0
    return sorted(seen)
