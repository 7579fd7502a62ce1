"""A stock client and a worker of ours: results, errors, callbacks, retries."""

import pytest
from tests.interop.peers import eventually, our_worker, sig


@pytest.mark.every_peer
def test_the_peer_is_stock_and_has_nothing_of_ours(client, peer):
    versions = client.versions()
    assert versions["ours"] is False
    assert versions["celery"].startswith("5.3.") == (peer == "celery-5.3")


@pytest.mark.every_peer
def test_a_result_comes_back(client):
    task = client.send("interop.add", [2, 3])
    assert client.get(task) == 5
    look = client.look(task)
    assert (look["state"], look["ready"], look["successful"], look["failed"]) == ("SUCCESS", True, True, False)
    assert look["traceback"] is None
    assert look["date_done"].startswith("20")


def test_a_hundred_results_come_back_each_to_its_caller(client):
    tasks = client.send_many("interop.add", [[number, 1] for number in range(100)])
    assert [client.get(task) for task in tasks] == list(range(1, 101))


def test_keywords_and_positions_arrive(client):
    assert client.get(client.send("interop.echo", ["a"], {"b": [1, None]})) == {"value": "a", "b": [1, None]}


def test_a_forgotten_result_is_gone(client, database):
    task = client.send("interop.add", [1, 1])
    client.get(task)
    client.forget(task)
    assert database.exists(f"celery-task-meta-{task}") == 0


def test_a_result_has_the_life_that_the_settings_give_it(client, database):
    task = client.send("interop.add", [1, 1])
    client.get(task)
    assert 14_400 - 60 < database.ttl(f"celery-task-meta-{task}") <= 14_400


@pytest.mark.parametrize("how", ["by the caller", "by the task"])
def test_an_ignored_result_is_not_stored(how, client, worker, database, key, peer):
    if (how, peer) == ("by the task", "celery-5.3"):
        pytest.skip("Celery 5.3 sends `ignore_result: false` along, and what a message says counts")
    if how == "by the task":
        task = client.send("interop.quiet", [key])
        eventually(lambda: worker.notes("quiet", key=key))
    else:
        task = client.send("interop.once", [key], ignore_result=True)
        eventually(lambda: worker.notes("once", key=key))
    client.get(client.send("interop.add", [1, 1]))  # what came before it is committed
    assert database.exists(f"celery-task-meta-{task}") == 0
    assert client.look(task)["ready"] is False


@pytest.mark.every_peer
def test_a_failure_comes_back_with_its_type_text_and_traceback(client):
    task = client.send("interop.boom", ["für alle"])
    failure = client.failure(task)
    assert (failure.kind, failure.text) == ("ValueError", "für alle")
    look = client.look(task)
    assert (look["state"], look["ready"], look["failed"]) == ("FAILURE", True, True)
    lines = look["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: für alle"
    assert any("stock_tasks.py" in line and "in boom" in line for line in lines)


def test_an_error_of_a_class_that_the_client_does_not_know_keeps_its_name_and_arguments(client):
    failure = client.failure(client.send("interop.odd"))
    assert failure.kind == "Odd"
    assert failure.arguments == "(1, 'two', [3])"


def test_a_result_that_cannot_be_written_as_json_is_a_failure_and_the_worker_goes_on(client):
    assert client.failure(client.send("interop.unencodable")).kind == "EncodeError"
    assert client.get(client.send("interop.add", [1, 1])) == 2


def test_a_state_of_the_tasks_own_is_seen_while_it_runs(client):
    task = client.send("interop.progress", [1.5])
    assert client.wait(task, "PROGRESS", seconds=5)["info"] == {"done": 42}
    assert client.get(task) == "done"


def test_a_task_is_seen_to_have_started(client):
    task = client.send("interop.sleep", [1.5, "watched"])
    look = client.wait(task, "STARTED", seconds=5)
    assert look["ready"] is False
    assert {"pid", "hostname"} == set(look["info"])
    assert client.get(task) == "watched"


@pytest.mark.every_peer
def test_a_task_retries_itself(client, worker):
    task = client.send("interop.again", [2])
    assert client.get(task) == 2
    assert [note["retries"] for note in worker.notes("again", id=task)] == [0, 1, 2]


def test_a_task_that_waits_for_its_retry_says_so(client):
    task = client.send("interop.again", [1, 2])
    look = client.wait(task, "RETRY", seconds=5)
    assert (look["ready"], look["failed"]) == (False, False)
    assert "Retry" in look["traceback"]
    assert client.get(task) == 1


def test_a_task_that_runs_out_of_retries_fails_with_its_last_error(client):
    failure = client.failure(client.send("interop.hopeless"))
    assert (failure.kind, failure.text) == ("KeyError", "'lost'")


def test_errors_named_by_the_task_are_retried(client):
    assert client.get(client.send("interop.auto", [3])) == 3
    assert client.failure(client.send("interop.auto", [9])).kind == "OSError"
    assert client.get(client.send("interop.backoff")) == 1


@pytest.mark.every_peer
def test_chain(client):
    tree = ["chain", sig("interop.add", 1, 2), sig("interop.add", 10), sig("interop.add", 100)]
    assert client.get(client.run(tree)) == 113


def test_a_chain_ends_at_its_first_failure(client, worker, key):
    tree = ["chain", sig("interop.boom", key), sig("interop.told")]
    failure = client.failure(client.run(tree))
    assert failure.text == key
    assert worker.notes("told", value=key) == []


def test_an_immutable_link_of_a_chain_takes_no_result(client):
    tree = ["chain", sig("interop.add", 1, 2), sig("interop.add", 5, 5, immutable=True), sig("interop.add", 1)]
    assert client.get(client.run(tree)) == 11


@pytest.mark.every_peer
def test_group(client):
    tree = ["group", *(sig("interop.add", number, number) for number in range(20))]
    assert client.get(client.run(tree)) == [2 * number for number in range(20)]


@pytest.mark.every_peer
def test_chord(client):
    header = [sig("interop.add", number, number) for number in range(20)]
    assert client.get(client.run(["chord", header, sig("interop.total")])) == 380


def test_a_group_inside_a_chain_is_a_chord(client):
    members = ["group", *(sig("interop.add", number) for number in (1, 2, 3))]
    tree = ["chain", sig("interop.add", 1, 1), members, sig("interop.total"), sig("interop.add", 1000)]
    assert client.get(client.run(tree)) == 1012


def test_a_chord_of_chains(client):
    header = [["chain", sig("interop.add", number, 1), sig("interop.add", 10)] for number in range(3)]
    assert client.get(client.run(["chord", header, sig("interop.total")])) == 36


def test_a_chord_whose_header_fails_fails_and_calls_its_errback(client, worker):
    body = sig("interop.told", link_error=[sig("interop.call_error")])
    task = client.run(["chord", [sig("interop.add", 1, 1), sig("interop.boom", "in the header")], body])
    failure = client.wait(task, "FAILURE")["info"]
    assert failure.startswith("ChordError(")
    assert "in the header" in failure
    assert eventually(lambda: worker.notes("call_error", id=task))


@pytest.mark.every_peer
def test_a_link_runs_with_the_result(client, worker, key):
    assert client.get(client.send("interop.echo", [key], link=[sig("interop.told")])) == key
    assert eventually(lambda: worker.notes("told", value=key))


def test_the_children_of_a_task_are_known_to_its_result(client, worker, key):
    task = client.send("interop.echo", [key], link=[sig("interop.told")])
    client.get(task)
    eventually(lambda: worker.notes("told", value=key))
    (child,) = client.look(task)["children"]
    assert client.get(child) == key


def test_an_errback_is_called_with_the_failure(client, worker):
    task = client.send("interop.boom", ["call back"], link_error=[sig("interop.call_error")])
    client.failure(task)
    assert eventually(lambda: worker.notes("call_error", id=task))[0]["error"] == "ValueError"


def test_an_errback_that_the_worker_must_send_gets_the_id(client, worker):
    task = client.send("interop.boom", ["tell"], link_error=[sig("interop.told")])
    client.failure(task)
    assert eventually(lambda: worker.notes("told", value=task))


def test_a_task_can_replace_itself(client):
    assert client.get(client.send("interop.replaced", [5])) == 6
    chained = ["chain", sig("interop.replaced", 5), sig("interop.add", 10)]
    assert client.get(client.run(chained)) == 16


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_body_sends_is_sent_whether_it_succeeds_or_fails(fails, client, worker, key):
    task = client.send("interop.parent", [key, fails])
    client.wait(task, "FAILURE" if fails else "SUCCESS")
    assert eventually(lambda: worker.notes("once", key=key))


def test_a_body_can_wait_for_what_it_sent(start, own_url, peer, client_at):
    start(our_worker, own_url, threads=2)
    client = client_at(peer, own_url)
    assert client.get(client.send("interop.joins", [1])) == 2


def test_a_body_knows_its_request(client, worker):
    tree = sig("interop.request", headers={"colour": "green"}, priority=6, reply_to="nobody", queue="other")
    task = client.run(tree)
    request = client.get(task)
    assert request["hostname"] == worker.hostname
    assert request.pop("origin").startswith("gen")
    del request["hostname"]
    assert request == {
        "id": task,
        "root_id": task,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "correlation_id": task,
        "reply_to": "nobody",
        "queue": "other",
        "priority": 6,
        "colour": "green",
    }


def test_a_child_knows_its_parent_and_its_root(client):
    tree = ["chain", sig("interop.add", 1, 1), sig("interop.request", immutable=True)]
    last = client.run(tree)
    request = client.get(last)
    assert request["id"] == last
    assert request["root_id"] == request["parent_id"] != last


@pytest.mark.parametrize("fails", [False, True])
def test_the_hooks_of_a_tasks_class_are_called(fails, client, worker):
    task = client.send("interop.raising_hooks", [fails])
    client.wait(task, "FAILURE" if fails else "SUCCESS")
    end = "on_failure" if fails else "on_success"
    eventually(lambda: worker.notes("after_return", id=task))
    hooks = [note["note"] for note in worker.notes(id=task) if note["note"] != "signal"]
    assert hooks == ["before_start", end, "after_return"]


def test_nothing_is_left_of_tasks_that_are_done(client, database):
    client.get(client.send("interop.add", [1, 1]))
    eventually(lambda: database.hlen("unacked") == 0)
    assert (database.zcard("unacked_index"), database.zcard("celery-leases"), database.zcard("celery-due")) == (0, 0, 0)
