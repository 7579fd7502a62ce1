"""publish.lua against a real Redis: what it writes, and that it writes all or nothing."""

import json
import time
from typing import Any

import pytest
import redis
from kombu.utils.json import dumps as kombu_dumps

from celeriac.broker.scripts import Script
from celeriac.message.frame import frame
from celeriac.publish.outgoing import MISSING, THERE, UNCHECKED, Outgoing, words

pytestmark = pytest.mark.integration

SCRIPT = Script("publish/publish")


def raw(task_id: str, text: str = "") -> str:
    return f'{{"headers": {{"id": "{task_id}", "text": "{text}"}}}}'


def message(task_id: str, text: str = "", **changes: Any) -> Outgoing:
    made = Outgoing("tasks.x", task_id, "orders", "orders", f"print-{text}", 60_000, raw(task_id, text).encode())
    return made._replace(**changes)


def publish(client: redis.Redis, *messages: Outgoing, bound: int = 0, declared: bool = False) -> Any:
    return SCRIPT(client, *words(list(messages), bound, declared=declared))


def everything(client: redis.Redis) -> dict[str, Any]:
    return {key: client.dump(key) for key in client.keys()}  # noqa: SIM118  keys() is a command


def test_a_message_is_pushed_once_and_a_repeat_is_told_so(client: redis.Redis) -> None:
    assert [1, 1] == publish(client, message("a"))
    assert [1, 0] == publish(client, message("a", raw=b"another raw of the same work"))
    assert [raw("a")] == client.lrange("orders", 0, -1)


def test_other_work_under_the_same_id_is_a_conflict(client: redis.Redis) -> None:
    publish(client, message("a", "one"))
    assert [1, -2] == publish(client, message("a", "two"))
    assert [raw("a", "one")] == client.lrange("orders", 0, -1)


@pytest.mark.parametrize(("record", "answer"), [("done:print-", 0), ("done:other", -2)])
def test_what_is_done_already_is_known_by_its_record(client: redis.Redis, record: str, answer: int) -> None:
    client.set("celery-once-a", record)
    assert [0, answer] == publish(client, message("a"))
    assert 0 == client.llen("orders")


def test_an_id_is_remembered_for_its_time(client: redis.Redis) -> None:
    publish(client, message("a"))
    assert "queued:print-" == client.get("celery-once-a")
    assert 59_000 < client.pttl("celery-once-a") <= 60_000
    client.delete("celery-once-a")
    assert [2, 1] == publish(client, message("a"))


def test_an_id_that_is_not_to_be_remembered_leaves_nothing(client: redis.Redis) -> None:
    assert [[1, 1], [2, 1]] == [publish(client, message("a", life_ms=0)) for _ in range(2)]
    assert not client.keys("celery-once-*")


def test_twins_within_a_chunk_are_one(client: redis.Redis) -> None:
    answers = publish(client, message("a", "one"), message("a", "one"), message("a", "two"), message("b"))
    assert [2, 1, 0, -2, 1] == answers


def test_a_chunk_arrives_in_its_order(client: redis.Redis) -> None:
    publish(client, *[message(str(n)) for n in range(500)])
    assert [raw(str(n)) for n in range(500)] == client.lrange("orders", 0, -1)[::-1]


def test_the_bound_counts_the_lists_of_all_priorities(client: redis.Redis) -> None:
    publish(client, message("a", list="orders\x06\x163"), bound=3)
    publish(client, message("b", list="orders\x06\x169"), bound=3)
    assert [3, 1, -1] == publish(client, message("c"), message("d"), bound=3)
    assert [3, -1] == publish(client, message("e", list="orders\x06\x166"), bound=3)
    assert [raw("c")] == client.lrange("orders", 0, -1)
    assert not client.exists("celery-once-d", "celery-once-e")


def test_a_full_queue_still_knows_what_is_in_it(client: redis.Redis) -> None:
    publish(client, message("a", "one"), bound=1)
    answers = publish(client, message("a", "one"), message("a", "two"), message("b"), bound=1)
    assert [1, 0, -2, -1] == answers


def test_other_queues_do_not_count(client: redis.Redis) -> None:
    publish(client, message("a"), bound=1)
    assert [1, 1] == publish(client, message("b", queue="others", list="others"), bound=1)


def test_what_is_due_later_waits_with_its_due_time(client: redis.Redis) -> None:
    due = int(time.time() * 1_000_000) + 3_600_000_123
    assert [0, 1, 1] == publish(client, message("a", due_us=due), message("b", due_us=due))
    entries = [(f"orders\n{raw('a')}", due), (f"orders\n{raw('b')}", due)]
    assert entries == client.zrange("celery-due", 0, -1, withscores=True)
    assert not client.exists("orders")
    assert [0, 0] == publish(client, message("a", due_us=due + 5))


def test_what_was_due_before_goes_into_its_list(client: redis.Redis) -> None:
    assert [1, 1] == publish(client, message("a", due_us=int((time.time() - 1) * 1_000_000)))


def test_what_waits_for_its_time_is_bounded_too(client: redis.Redis) -> None:
    due = int((time.time() + 60) * 1_000_000)
    assert [0, 1, -1] == publish(client, message("a", due_us=due), message("b", due_us=due), bound=1)
    assert [1, 1] == publish(client, message("c"), bound=1)
    assert [1, -1] == publish(client, message("d", due_us=due), bound=1)


def test_a_marker_is_stored_with_the_push_unless_something_is_there(client: redis.Redis) -> None:
    client.set("celery-task-meta-b", "kept")
    publish(client, message("a", marker=b"new"), message("b", marker=b"new"))
    publish(client, message("c"))
    assert ["new", "kept", None] == client.mget([f"celery-task-meta-{one}" for one in "abc"])
    assert client.pttl("celery-task-meta-a") > 6 * 24 * 3600 * 1000
    assert [raw("a"), raw("b"), raw("c")] == client.lrange("orders", 0, -1)[::-1]


def test_no_marker_without_a_push(client: redis.Redis) -> None:
    publish(client, message("a"), bound=1)
    publish(client, message("a", marker=b"late"), message("b", marker=b"refused"), bound=1)
    assert not client.keys("celery-task-meta-*")


def test_the_queue_is_declared_as_kombu_declares_it(client: redis.Redis) -> None:
    from kombu import Connection, Queue

    publish(client, message("a"))
    ours = everything(client)
    for key in client.scan_iter("_kombu*"):
        client.delete(key)
    port = client.connection_pool.connection_kwargs["port"]
    with Connection(f"redis://127.0.0.1:{port}/0") as connection:
        Queue("orders", exchange="orders", routing_key="orders")(connection.default_channel).declare()
    assert {key: value for key, value in ours.items() if key in everything(client)} == everything(client)
    assert client.exists("_kombu.binding.orders")


@pytest.mark.parametrize(("declared", "waiting", "again"), [(False, True, 1), (True, False, 1), (True, True, 0)])
def test_it_is_declared_with_the_first_message_of_a_publisher_and_where_nothing_waits(
    client: redis.Redis, declared: bool, waiting: bool, again: int
) -> None:
    if waiting:  # in any of its lists
        client.lpush("orders\x06\x166", "of another publisher")
    publish(client, message("a"), declared=declared)
    for key in ("_kombu.binding.orders", "_kombu.binding_permanent.orders"):
        assert again == client.exists(key)


@pytest.mark.parametrize("key", ["orders", "orders\x06\x163", "celery-once-b", "celery-due"])
def test_where_something_else_is_nothing_is_written(client: redis.Redis, key: str) -> None:
    client.hset(key, "field", "of another kind")
    before = everything(client)
    due = int((time.time() + 60) * 1_000_000) if key == "celery-due" else 0
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        publish(client, *[message(one, due_us=due) for one in "abc"])
    assert before == everything(client)


@pytest.mark.parametrize("due", [0, 4_000_000_000_000_000])
def test_a_full_redis_refuses_it_as_a_whole(redis_to_break: Any, due: int) -> None:
    with redis.Redis(port=redis_to_break.port, decode_responses=True) as client:
        publish(client, message("before", "same"))
        client.config_set("maxmemory", 1)
        before = everything(client)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            publish(client, *[message(str(n), due_us=due, marker=b"m") for n in range(100)])
        assert before == everything(client)
        assert [1, 0] == publish(client, message("before", "same"))  # and it still tells what it knows
        client.config_set("maxmemory", 0)
        assert [1] * 100 == publish(client, *[message(str(n), due_us=due) for n in range(100)])[1:]


@pytest.mark.parametrize(("denied", "due"), [("lpush", 0), ("set", 0), ("sadd", 0), ("zadd", 4_000_000_000_000_000)])
def test_who_may_not_write_everything_writes_nothing(redis_to_break: Any, denied: str, due: int) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        publish(client, message("before"))
        client.set("celery-task-meta-1", "kept")
        before = everything(client)
        client.execute_command("ACL", "SETUSER", "default", f"-{denied}")
        with pytest.raises(redis.ResponseError):  # each server has other words for it
            publish(client, *[message(str(n), due_us=due, marker=b"m") for n in range(3)])
        assert before == everything(client)


def test_with_hardly_any_room_it_is_all_or_nothing(redis_to_break: Any) -> None:
    much = b"x" * 1_900
    messages = [message(str(n), raw=much, marker=much) for n in range(500)]
    with redis.Redis(port=redis_to_break.port) as client:
        publish(client, message("before"))
        refusals = 0
        for room in range(0, 20_000_000, 200_000):
            client.config_set("maxmemory", client.info("memory")["used_memory"] + room)
            try:
                assert [1] * 500 == publish(client, *messages)[1:]
                break
            except redis.ResponseError:
                refusals += 1
                assert [1, 1] == [client.llen("orders"), len(client.keys("celery-once-*"))]
        counts = [client.llen("orders"), len(client.keys("celery-once-*")), len(client.keys("celery-task-meta-*"))]
        assert [501, 501, 500] == counts
        assert refusals


def test_a_message_as_it_is_really_sent_fits(client: redis.Redis) -> None:
    real = frame("tasks.x", "orders", [{"n": 1}], task_id="a")
    publish(client, message("a", raw=real))
    assert real.decode() == client.lindex("orders", 0)


# Published before, and not done: is its message still there?

REAL = frame("tasks.x", "orders", [{"id": "b"}], task_id="a", root_id="r", parent_id="p")


def again(client: redis.Redis, task_id: str = "a") -> int:
    """What a repeat is told."""
    return int(publish(client, message(task_id))[1])


@pytest.mark.parametrize("list_", ["orders", "orders\x06\x163", "orders\x06\x169"])
def test_what_waits_is_found(client: redis.Redis, list_: str) -> None:
    publish(client, message("a", raw=REAL, list=list_))
    assert THERE == again(client)


def test_what_is_due_later_is_found(client: redis.Redis) -> None:
    publish(client, message("a", raw=REAL, due_us=4_000_000_000_000_000))
    assert THERE == again(client)


@pytest.mark.parametrize("spell", [bytes.decode, lambda raw: kombu_dumps([json.loads(raw), "", "orders"])])
def test_what_somebody_holds_is_found(client: redis.Redis, spell: Any) -> None:
    publish(client, message("a", raw=REAL))
    client.delete("orders")
    client.hset("unacked", "tag", f'[{spell(REAL)},"","orders"]')
    assert THERE == again(client)


def test_what_died_is_found(client: redis.Redis) -> None:
    publish(client, message("a", raw=REAL))
    client.delete("orders")
    client.xadd("celery-dead-orders", {"raw": REAL, "about": "{}"})
    assert THERE == again(client)


def test_what_was_removed_by_hand_is_missing_and_not_published_again(client: redis.Redis) -> None:
    publish(client, message("a", raw=REAL))
    client.delete("orders")
    assert MISSING == again(client)
    assert not client.exists("orders")
    client.set("celery-once-a", "done:print-")
    assert THERE == again(client)


def test_others_are_not_taken_for_it(client: redis.Redis) -> None:
    for task_id in ("a", "b", "r", "p", "aa"):
        publish(client, message(task_id, raw=REAL.replace(b'"id": "a"', b'"id": "aa"')))
    assert [MISSING, MISSING, MISSING, MISSING, THERE] == [again(client, one) for one in ("a", "b", "r", "p", "aa")]


def test_where_too_much_lies_around_it_is_not_looked_for(client: redis.Redis) -> None:
    publish(client, *[message(str(n)) for n in range(51)])
    assert UNCHECKED == again(client, "0")
    client.lpop("orders")
    assert THERE == again(client, "0")
    assert MISSING == again(client, "50")
    client.hset("unacked", "tag", "x")
    assert UNCHECKED == again(client, "0")


@pytest.mark.parametrize("task_id", ["\u00e9", 'a"b', "a b", "a\\u0062"])
def test_an_id_that_may_be_spelt_in_several_ways_is_not_looked_for(client: redis.Redis, task_id: str) -> None:
    publish(client, message(task_id, raw=REAL))
    client.delete("orders")
    assert UNCHECKED == again(client, task_id)


@pytest.mark.parametrize("key", ["unacked", "celery-dead-orders"])
def test_a_key_of_another_type_is_no_reason_to_refuse_a_repeat(client: redis.Redis, key: str) -> None:
    publish(client, message("a", raw=REAL))
    client.set(key, "text")
    assert UNCHECKED == again(client)


@pytest.mark.parametrize("denied", ["hlen", "hvals", "xlen", "xrange", "lrange", "zrange"])
def test_who_may_not_look_is_not_refused(redis_to_break: Any, denied: str) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        publish(client, message("a", raw=REAL))
        client.execute_command("ACL", "SETUSER", "default", f"-{denied}")
        assert UNCHECKED == again(client)


def test_a_chunk_of_repeats_looks_once(client: redis.Redis) -> None:
    publish(client, *[message(str(n)) for n in range(50)])
    client.config_resetstat()
    assert [THERE] * 50 == publish(client, *[message(str(n)) for n in range(50)])[1:]
    assert 1 == client.info("commandstats")["cmdstat_hvals"]["calls"]


def test_what_is_new_or_done_is_published_without_a_look(client: redis.Redis) -> None:
    client.set("celery-once-b", "done:print-")
    client.config_resetstat()
    publish(client, message("a"), message("b"), message("a"))
    assert {"cmdstat_hlen", "cmdstat_xlen", "cmdstat_lrange"}.isdisjoint(client.info("commandstats"))
