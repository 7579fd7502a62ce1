"""What was revoked stays revoked, whatever becomes of the workers that were told."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celeriac.tests.test_stops import Stack, eventually, stack
from celery import Celery
from celery.worker import state

from celeriac.broker import keys
from celeriac.claim import revocations as module
from celeriac.claim.revocations import Revocations, note, stamps_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

__all__ = ["stack"]


def plain(stack: Stack) -> Celery:
    """A client that knows nothing of ours."""
    return Celery("plain", broker=stack.url, backend=stack.url, set_as_current=False)


def tell(stack: Stack, app: Celery, task: Any, how: str) -> None:
    if how == "stamp":
        app.control.revoke_by_stamped_headers({"tenant": ["t1", "t2"]})
    else:
        app.control.revoke(task.id, terminate=how == "terminate")


@pytest.mark.parametrize(
    ("pool", "how", "client"),
    [
        ("threads", "id", "ours"),
        ("prefork", "id", "stock"),
        ("threads", "terminate", "stock"),
        ("threads", "stamp", "stock"),
        ("solo", "stamp", "ours"),
    ],
)
def test_a_countdown_that_was_revoked_does_not_run_when_all_workers_were_replaced(
    stack: Stack, pool: str, how: str, client: str
) -> None:
    app = stack.app if client == "ours" else plain(stack)
    first = stack.start(WORKER_POOL=pool)
    stamps = {"tenant": "t1", "stamped_headers": ["tenant"], "stamps": {"tenant": "t1"}} if how == "stamp" else {}
    task = stack.send("nap", 0.1, countdown=3, headers=stamps)
    eventually(lambda: stack.broker.zcard(keys.DUE))
    tell(stack, app, task, how)
    eventually(lambda: stack.broker.zcard(keys.REVOKED) + stack.broker.zcard(keys.REVOKED_STAMPS))
    first.stop()
    stack.start(WORKER_POOL=pool)
    eventually(lambda: task.state == "REVOKED" and not stack.broker.zcard(keys.DUE), 20)
    other = stack.send("nap", 0.1, "other")
    assert "rested" == other.get(timeout=10)
    eventually(lambda: not stack.broker.hlen(keys.UNACKED))
    assert (0, 1, 0) == (stack.started("nap"), stack.started("other"), stack.letters())


def test_a_revocation_holds_where_no_worker_lived_when_it_was_made(stack: Stack) -> None:
    tasks = [stack.send("nap", 0.1, str(number)) for number in range(4)]
    tasks[0].revoke()
    stack.app.control.revoke([tasks[1].id, tasks[2].id])
    stack.start()
    assert "rested" == tasks[3].get(timeout=10)
    eventually(lambda: [task.state for task in tasks[:3]] == ["REVOKED"] * 3)
    assert [0, 0, 0, 1] == [stack.started(str(number)) for number in range(4)]


def test_what_is_claimed_and_not_started_is_revoked_too(stack: Stack) -> None:
    stack.start()
    first, second = stack.send("nap", 1.0, "first"), stack.send("nap", 0.1, "second")
    eventually(lambda: stack.started("first"))
    plain(stack).control.revoke(second.id)
    assert "rested" == first.get(timeout=10)
    eventually(lambda: second.state == "REVOKED" and not stack.broker.hlen(keys.UNACKED))
    assert 0 == stack.started("second")


def test_a_worker_that_never_heard_of_it_reads_it_within_seconds(stack: Stack) -> None:
    stack.start()
    task = stack.send("nap", 0.1, countdown=4)
    note(stack.broker, [task.id])
    eventually(lambda: task.state == "REVOKED", 15)
    assert 0 == stack.started("nap")


# In one process. Ids of their own: what these tests revoke stays so where the mutants run them.


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client
    state.revoked.clear()
    state.revoked_stamps.clear()


def noted(client: redis.Redis) -> list[str]:
    return [one.decode() for one in client.zrange(keys.REVOKED, 0, -1)]


def test_what_a_worker_learns_is_noted_once_and_what_others_noted_is_taken_over(client: redis.Redis) -> None:
    state.revoked.clear()
    state.revoked_stamps.clear()
    ours = Revocations(client)
    state.revoked.update(["ra", "rb"])
    state.revoked_stamps["tenant"] = ["t1"]
    ours.start()
    assert {"ra", "rb"} == set(noted(client))
    assert [b'["tenant", "t1"]'] == client.zrange(keys.REVOKED_STAMPS, 0, -1)
    before = client.zrange(keys.REVOKED, 0, -1, withscores=True)
    note(client, ["rc"], stamps_of(["tenant=t2"]))
    for now in (1e9, 2e9, 3e9):
        ours.look(now)
        ours.apply()
    assert "rc" in state.revoked
    assert ["t1", "t2"] == state.revoked_stamps["tenant"]
    assert before == client.zrange(keys.REVOKED, 0, -1, withscores=True)[:2]
    assert not ours.told
    state.revoked.add("rd")
    assert ours.told
    ours.look(0.0)  # at once
    assert ["rc", "rd"] == noted(client)[2:]


def test_revoked_again_it_lives_again(client: redis.Redis) -> None:
    ours = Revocations(client)
    state.revoked.add("a")
    ours.start()
    client.zadd(keys.REVOKED, {"a": 1})
    ours.look(1e9)
    assert 1 == client.zscore(keys.REVOKED, "a")
    state.revoked.add("a")
    ours.look(0.0)
    assert client.zscore(keys.REVOKED, "a") > 1


def test_memory_is_bounded_there_and_here(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "state", bounded := _State(most=10, seconds=3600.0))
    for number in range(25):
        note(client, [f"{number}"], [f'["h", {number}]'])
    assert ([*map(str, range(15, 25))], 10) == (sorted(noted(client)), client.zcard(keys.REVOKED_STAMPS))
    ours = Revocations(client)
    ours.start()
    assert 10 == len(bounded.revoked)
    for _ in range(10):
        bounded.revoked.update(f"{number}" for number in range(100))
        ours.look(1e9)
    assert len(ours._known) <= 30


def test_what_is_older_than_its_life_goes(client: redis.Redis) -> None:
    client.zadd(keys.REVOKED, {"old": 1})
    note(client, ["new"])
    assert ["new"] == noted(client)


class _State:
    """Celery's, with other bounds."""

    def __init__(self, most: int, seconds: float) -> None:
        self.REVOKES_MAX, self.REVOKE_EXPIRES = most, seconds
        self.revoked = type(state.revoked)(maxlen=most, expires=seconds)
        self.revoked_stamps: dict[str, Any] = {}

    def merge_revoked(self, ids: list[str]) -> None:
        self.revoked.update(ids)


def test_a_stamp_whose_time_is_over_is_forgotten(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "state", bounded := _State(most=10, seconds=0.05))
    note(client, [], stamps_of({"tenant": ["a", "b"]}))
    ours = Revocations(client)
    ours.start()
    assert {"tenant": ["a", "b"]} == bounded.revoked_stamps
    time.sleep(0.06)
    note(client, ["x"])
    ours.look(1e9)
    assert ours.pending
    ours.apply()
    assert {} == bounded.revoked_stamps


def test_what_has_expired_was_revoked_by_nobody(client: redis.Redis) -> None:
    ours = Revocations(client)
    ours.start()
    state.revoked.update(["expired", "revoked"])
    ours._ended(request=type("Request", (), {"id": "expired"}), expired=True)
    ours.look(1e9)
    assert ["revoked"] == noted(client)


def test_what_could_not_be_noted_is_noted_later(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Revocations(client)
    ours.start()
    state.revoked.add("a")
    with monkeypatch.context() as patch:
        patch.setattr(ours, "_client", redis.Redis(port=1))
        with pytest.raises(redis.ConnectionError):
            ours.look(1e9)
    ours.look(1e9)
    assert ["a"] == noted(client)


def test_a_clock_that_was_set_back_hides_nothing(client: redis.Redis) -> None:
    ours = Revocations(client)
    ours.start()
    note(client, ["a"])
    ours._since_us += 10**12
    for now in (1e9, 2e9):
        ours.look(now)
        ours.apply()
    assert "a" in state.revoked


def test_a_full_redis_takes_revocations_from_workers(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        note(client, ["a"])
        assert 1 == client.zcard(keys.REVOKED)
