"""The task of devctl chaos: what its body does, and that no worker owns it by chance."""

import os
import signal
import time
from uuid import uuid4

import pytest
import redis

from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError
from celeriac.workbench import chaos

RUN = "r1"


def payload(kind="work", **fields):
    return chaos.ChaosPayload(source_service="tests", run=RUN, kind=kind, **fields)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


def lines(client):
    return [(entry["what"], entry["id"]) for _, entry in client.xrange(chaos.ledger_key(RUN))]


def test_without_a_ledger_nobody_owns_it(monkeypatch):
    monkeypatch.delenv(chaos.LEDGER_URL, raising=False)
    assert chaos.implementations() == []


def test_with_a_ledger_the_worker_owns_it(monkeypatch, redis_url):
    monkeypatch.setenv(chaos.LEDGER_URL, redis_url)
    assert [one.contract.name for one in chaos.implementations()] == ["tasks.chaos", "tasks.chaos_child"]


@pytest.mark.integration
def test_a_run_is_in_the_ledger_and_has_one_effect_and_one_follow_up(client, redis_url):
    task, outcome = payload(), Outcome()
    result = chaos.body(chaos.ChaosLedger(redis_url))(task, outcome)

    assert result.start == 1
    assert lines(client) == [("start", str(task.task_id)), ("finish", str(task.task_id))]
    assert outcome.effects == [("HINCRBY", f"chaos:{RUN}:effects", str(task.task_id), 1)]
    assert [child.contract.name for child in outcome.children] == ["tasks.chaos_child"]
    ((_, entry), _) = client.xrange(chaos.ledger_key(RUN))
    assert entry["by"].endswith(f"-{os.getpid()}")
    assert abs(float(entry["at"]) - time.time()) < 5


@pytest.mark.integration
def test_without_notify_there_is_no_follow_up(redis_url):
    outcome = Outcome()
    chaos.body(chaos.ChaosLedger(redis_url))(payload(notify=False), outcome)
    assert outcome.children == []


@pytest.mark.integration
def test_a_flaky_one_fails_at_its_first_start_alone(client, redis_url):
    task, run = payload("flaky"), chaos.body(chaos.ChaosLedger(redis_url))
    with pytest.raises(TransientError):
        run(task, Outcome())
    assert run(task, Outcome()).start == 2
    assert [what for what, _ in lines(client)] == ["start", "start", "finish"]


@pytest.mark.integration
def test_poison_has_told_that_it_begins_when_its_process_dies(client, redis_url):
    task = payload("poison")
    child = os.fork()
    if not child:
        chaos.body(chaos.ChaosLedger(redis_url))(task, Outcome())
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGKILL
    assert lines(client) == [("start", str(task.task_id))]


@pytest.mark.integration
def test_one_that_wants_too_much_memory_gives_up_where_nothing_limits_it(redis_url, monkeypatch):
    monkeypatch.setattr(chaos, "CHUNK", 10)
    with pytest.raises(PermanentError, match="no limit kept this process from 640 bytes"):
        chaos.body(chaos.ChaosLedger(redis_url))(payload("memory", touch=True), Outcome())


def test_a_run_has_a_harmless_name():
    with pytest.raises(ValueError, match="run"):
        chaos.ChaosPayload(source_service="tests", run="*")
    assert chaos.effects_key("r") != chaos.effects_key(str(uuid4()))
