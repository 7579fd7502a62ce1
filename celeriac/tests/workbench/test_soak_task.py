"""The task of devctl chaos soak: what its body counts, and that no worker owns it by chance."""

import pytest
import redis

from celeriac.contract.outcome import Outcome
from celeriac.workbench import soak
from celeriac.workbench.chaos import LEDGER_URL

RUN, FIRST_HALF = "r1", 2**64 - 3


def payload(number):
    return soak.SoakPayload(source_service="tests", run=RUN, task_id=soak.task_id(FIRST_HALF, number))


def test_without_a_ledger_nobody_owns_it(monkeypatch):
    monkeypatch.delenv(LEDGER_URL, raising=False)
    assert soak.implementations() == []


def test_with_a_ledger_the_worker_owns_it(monkeypatch, redis_url):
    monkeypatch.setenv(LEDGER_URL, redis_url)
    assert [one.contract.name for one in soak.implementations()] == ["tasks.soak"]


@pytest.mark.parametrize("number", [0, 1, 2**32, 2**64 - 1])
def test_an_id_holds_its_number(number):
    assert soak.number_of(soak.task_id(FIRST_HALF, number)) == number
    assert soak.task_id(FIRST_HALF, number) != soak.task_id(FIRST_HALF + 1, number)


@pytest.mark.integration
def test_each_run_is_counted_in_a_byte_and_has_one_effect(redis_url):
    run = soak.body(soak.Bodies(redis_url))
    outcomes = [Outcome() for _ in range(2)]
    for outcome in outcomes:
        run(payload(3), outcome)
    run(payload(5), Outcome())

    assert [one.effects for one in outcomes] == [[("XADD", f"chaos:{RUN}:done", "*", "n", 3)]] * 2
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(soak.bodies_key(RUN)) == bytes([0, 0, 0, 2, 0, 1])


@pytest.mark.integration
def test_a_byte_that_is_full_stays_full(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.set(soak.bodies_key(RUN), b"\xff")
        soak.Bodies(redis_url).begins(RUN, 0)
        assert client.get(soak.bodies_key(RUN)) == b"\xff"
