"""What is removed can be published again: purge, deleted queues, dropped letters."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import claim, full, letter, outcome, tag_of
from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.broker import removal as removing
from celeriac.broker.lists import lists
from celeriac.dead_letter import letters as dead_letters
from celeriac.message.frame import frame
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.publisher import Publisher

pytestmark = pytest.mark.integration

MARKER = b'{"status": "PENDING", "result": null}'


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_app("test", CelerySettings(broker_url=redis_url)) as app:
        app.conf.task_default_queue = "orders"
        yield app


def message(task_id: str, text: str = "", **changes: Any) -> Outgoing:
    raw = frame("tasks.x", "orders", [text], task_id=task_id, headers={"fingerprint": f"print-{text[:9]}"})
    made = Outgoing("tasks.x", task_id, "orders", "orders", f"print-{text[:9]}", 60_000, raw, marker=MARKER)
    return made._replace(**changes)


def publish(client: redis.Redis, task_id: str = "a", text: str = "", **changes: Any) -> bool:
    """Whether it is in its queue by this call."""
    return Publisher(client, 0).publish(message(task_id, text, **changes))


def later(client: redis.Redis) -> int:
    """A due time that this test does not see."""
    return (int(client.time()[0]) + 60) * 1_000_000


def noted(client: redis.Redis, *task_ids: str) -> int:
    """How many keys still tell of them."""
    return client.exists(*[f"{prefix}{one}" for one in task_ids for prefix in ("celery-once-", "celery-task-meta-")])


def purge(client: redis.Redis, queue: str = "orders") -> int:
    return removing.purge(client, lists(queue))


def test_what_is_purged_can_be_published_again(client: redis.Redis, app: Celery) -> None:
    assert [True, False] == [publish(client), publish(client)]
    assert 1 == app.control.purge()
    assert (0, 0) == (client.llen("orders"), noted(client, "a"))
    assert publish(client)
    assert 1 == client.llen("orders")


def test_the_note_goes_with_the_message(client: redis.Redis) -> None:
    publish(client)
    assert 1 == purge(client)
    assert 0 == noted(client, "a")


def test_all_priorities_and_what_waits_for_its_time_are_purged_and_counted(client: redis.Redis, app: Celery) -> None:
    for task_id, name in zip("abcd", lists("orders"), strict=True):
        publish(client, task_id, list=name)
    publish(client, "e", due_us=later(client))
    publish(client, "f", queue="others", list="others", due_us=later(client))
    assert 5 == app.control.purge()
    assert (0, 2) == (noted(client, *"abcde"), noted(client, "f"))
    assert [b"others"] == [one.partition(b"\n")[0] for one in client.zrange(keys.DUE, 0, -1)]
    assert not client.exists(*lists("orders"))


def test_what_is_due_is_purged_with_its_note(client: redis.Redis) -> None:
    publish(client, due_us=later(client))
    publish(client, "b", queue="others", list="others", due_us=later(client))
    assert 1 == purge(client)
    assert (0, 2, 1) == (noted(client, "a"), noted(client, "b"), client.zcard(keys.DUE))


def test_thousands_are_purged_in_steps_that_hold_nobody_up(client: redis.Redis) -> None:
    publisher = Publisher(client, 0)
    publisher.publish_all(message(str(number)) for number in range(1_500))
    when = later(client)
    publisher.publish_all(message(str(number), due_us=when) for number in range(1_500, 2_300))
    client.config_resetstat()
    assert 2_300 == purge(client)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 1_500 / removing.MESSAGES + 800 / 200
    assert [] == client.keys("celery-*") == client.keys("orders*")


def test_large_ones_are_purged_a_few_at_a_time(client: redis.Redis) -> None:
    for number in range(7):
        publish(client, str(number), "x" * 300_000)
    client.config_resetstat()
    assert 7 == purge(client)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 3


def test_what_is_done_stays_noted(client: redis.Redis) -> None:
    publish(client)
    client.set(keys.once("a"), "done:print-")
    assert 1 == purge(client)
    assert b"done:print-" == client.get(keys.once("a"))
    assert not publish(client)


def test_the_note_of_other_work_under_its_id_stays(client: redis.Redis) -> None:
    publish(client)
    client.rpush("others", message("a", "other").raw)
    assert 1 == purge(client, "others")
    assert 2 == noted(client, "a")


@pytest.mark.parametrize("result", [b'{"status": "STARTED"}', b'{"status": "SUCCESS"}', b"pickled", b""])
def test_a_result_that_a_worker_stored_stays(client: redis.Redis, result: bytes) -> None:
    publish(client)
    client.set("celery-task-meta-a", result)
    purge(client)
    assert [None, result] == client.mget(keys.once("a"), "celery-task-meta-a")


UNREADABLE = [b"hello", b"[]", b'"text"', b'{"headers": 7}', b'{"headers": {"id": 7, "fingerprint": "x"}}', b"\xff\x00"]
UNREADABLE += [b"{}", b'{"headers": {"id": "\\ud800", "fingerprint": "x"}}', b"[" * 5_000, b""]


@pytest.mark.parametrize("raw", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_nobody_can_read_is_purged_all_the_same(client: redis.Redis, raw: bytes) -> None:
    client.lpush("orders", raw)
    client.zadd(keys.DUE, {b"orders\n" + raw: 9e15})
    assert 2 == purge(client)
    assert [] == client.keys()


def test_a_key_of_another_type_in_the_place_of_a_note_holds_nothing_up(client: redis.Redis) -> None:
    publish(client)
    client.delete(keys.once("a"))
    client.hset(keys.once("a"), "a", 1)
    assert 1 == purge(client)


def test_half_a_surrogate_pair_hides_no_note(client: redis.Redis) -> None:
    publish(client)
    client.lpush("orders", client.rpop("orders").replace(b'"lang": "py"', b'"lang": "\\ud800"'))
    purge(client)
    assert 0 == noted(client, "a")


def test_what_is_claimed_is_not_purged_and_stays_noted(client: redis.Redis) -> None:
    publish(client)
    claim(client)
    assert 0 == purge(client)
    assert not publish(client)


def test_what_comes_while_it_is_purged_stays(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, numbers = removing.REMOVE.__call__, count()

    def meanwhile(*words: Any) -> Any:
        publish(client, str(next(numbers)))
        return asked(*words)

    publish(client)
    monkeypatch.setattr(removing, "REMOVE", meanwhile)
    assert purge(client) <= 3
    assert client.llen("orders") >= 1


def test_a_full_redis_is_purged_too(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        publish(client)
        full(client)
        assert 1 == purge(client)
        assert 0 == noted(client, "a")


def test_a_queue_that_is_deleted_takes_all_of_that_along(client: redis.Redis, app: Celery) -> None:
    publish(client)
    publish(client, "b", due_us=later(client))
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        app.amqp.queues["orders"].bind(channel).declare()
        channel.queue_delete("orders")
    assert 0 == noted(client, "a", "b")
    assert not client.exists("orders", keys.DUE)


def test_the_queues_of_answers_are_deleted_without_a_look_at_what_is_due(client: redis.Redis, app: Celery) -> None:
    publish(client, due_us=later(client))
    client.config_resetstat()
    app.control.ping(timeout=0.05)
    assert "cmdstat_zscan" not in client.info("commandstats")


# Dead letters


def buried(client: redis.Redis, about: str = '{"reason": "permanent"}') -> str:
    """Published, and died: the id of its letter."""
    publish(client)
    claimed = claim(client)
    commit = letter(tag_of(claimed.raws[-1]))
    commit.dead_about = about
    outcome(client, (commit, claimed.fence))
    [found] = dead_letters.read(client)
    return found.id


def test_work_whose_letter_is_dropped_can_be_published_again(client: redis.Redis) -> None:
    found = buried(client)
    assert not publish(client)
    assert 1 == dead_letters.drop(client, [found])
    assert publish(client)


def test_the_letter_of_a_second_message_takes_no_note_of_the_first_along(client: redis.Redis) -> None:
    publish(client)
    client.lpush("orders", client.lindex("orders", 0))
    assert 1 == len(claim(client).raws)
    [found] = dead_letters.read(client)
    assert 1 == dead_letters.drop(client, [found.id])
    assert not publish(client)


def test_a_letter_that_is_not_there_takes_nothing_along(client: redis.Redis) -> None:
    found = buried(client)
    client.xdel(keys.dead("orders"), found.partition("/")[2])
    assert 0 == dead_letters.drop(client, [found])
    assert not publish(client)


def test_a_result_of_what_died_stays_when_its_letter_goes(client: redis.Redis) -> None:
    found = buried(client)
    client.set("celery-task-meta-a", b'{"status": "FAILURE"}')
    dead_letters.drop(client, [found])
    assert client.exists("celery-task-meta-a")


@pytest.mark.parametrize("raw", [b"hello", b"", b"\xff"])
def test_a_letter_that_nobody_can_read_is_dropped(client: redis.Redis, raw: bytes) -> None:
    stream_id = client.xadd(keys.dead("orders"), {"raw": raw, "about": "no JSON"}).decode()
    other = client.xadd(keys.dead("orders"), {"neither": "raw"}).decode()
    assert 2 == dead_letters.drop(client, [f"orders/{stream_id}", f"orders/{other}"])


def test_hundreds_of_letters_are_dropped_in_steps(client: redis.Redis) -> None:
    ids = [client.xadd(keys.dead("orders"), {"raw": "x", "about": "{}"}).decode() for _ in range(250)]
    assert 250 == dead_letters.drop(client, [f"orders/{one}" for one in ids])
