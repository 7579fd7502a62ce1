"""outcome.lua against a real Redis: all of a finished message in one step, once, and only by who holds it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import (
    ALL_WELL,
    Answer,
    children,
    claim,
    claim_one,
    dead,
    done,
    effects,
    everything,
    full,
    letter,
    message,
    outcome,
    overdue,
    push,
    tag_of,
)

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.lease.restore import restore
from celeriac.outcome.commit import Commit, packed

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Name(str):
    """Text, but not exactly."""


def gone(client: redis.Redis) -> bool:
    """Nothing is claimed any more."""
    return not client.exists(keys.UNACKED, keys.LEASES)


def taken_over(client: redis.Redis, tag: str) -> int:
    """The lease of this message passes, and another worker claims it: the new fence."""
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    claimed = claim(client)
    assert [tag] == [tag_of(raw) for raw in claimed.raws]
    return claimed.fence


# What a success leaves


def result(tag: str, status: str, value: int) -> Commit:
    commit = Commit(tag, "a")
    commit.result_key, commit.result = "celery-task-meta-a", f'{{"status": "{status}", "result": {value}}}'
    return commit


def test_a_failure_does_not_replace_a_success(client: redis.Redis) -> None:
    for status in ("SUCCESS", "FAILURE", "RETRY"):
        tag, fence = claim_one(client)
        assert ALL_WELL == outcome(client, (result(tag, status, 1), fence))
    stored: Any = client.get("celery-task-meta-a")
    assert "SUCCESS" == json.loads(stored)["status"]


def test_a_success_replaces_what_is_there(client: redis.Redis) -> None:
    for number, status in enumerate(("FAILURE", "RETRY", "SUCCESS")):
        tag, fence = claim_one(client)
        assert ALL_WELL == outcome(client, (result(tag, status, number), fence))
    stored: Any = client.get("celery-task-meta-a")
    assert {"status": "SUCCESS", "result": 2} == json.loads(stored)


def test_a_plain_acknowledgement_leaves_nothing(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    assert ALL_WELL == outcome(client, (Commit(tag), fence))
    assert {} == everything(client)


def test_record_result_effect_and_child_are_there_and_the_claim_is_gone(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    assert ALL_WELL == outcome(client, (done(tag), fence))
    assert (b"done:1", b'"fine"', 1) == (client.get("celery-once-a"), client.get("celery-task-meta-a"), effects(client))
    assert [b"child of a"] == client.lrange("mail", 0, -1)
    assert gone(client)


def test_record_and_result_alone(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = done(tag)
    commit.effects, commit.children = [], []
    assert 6 == commit.arguments(fence)[2]
    assert ALL_WELL == outcome(client, (commit, fence))
    assert (b"done:1", b'"fine"') == (client.get("celery-once-a"), client.get("celery-task-meta-a"))
    assert gone(client)


def test_record_and_result_live_as_long_as_they_were_given(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    outcome(client, (done(tag), fence))
    assert 59_000 < client.pttl("celery-once-a") <= 60_000
    assert 59_000 < client.pttl("celery-task-meta-a") <= 60_000


def test_a_result_may_live_for_ever(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = done(tag)
    commit.result_seconds = 0
    outcome(client, (commit, fence))
    assert -1 == client.ttl("celery-task-meta-a")


def test_a_result_is_told_to_who_waits_for_it(client: redis.Redis) -> None:
    listener = client.pubsub()
    listener.subscribe("celery-task-meta-a")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    tag, fence = claim_one(client)
    outcome(client, (done(tag), fence))
    assert b'"fine"' == listener.get_message(timeout=5)["data"]
    listener.close()


def test_without_record_and_result_only_what_is_wanted_is_written(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    commit.add_child("mail", "one")
    outcome(client, (commit, fence))
    assert {b"mail"} == set(client.keys())


def test_children_arrive_in_their_order_whatever_bytes_they_are(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    for raw in (b"one", b"\xff\x00", b"", b"three"):
        commit.add_child("mail", raw)
    outcome(client, (commit, fence))
    assert [b"one", b"\xff\x00", b"", b"three"] == client.lrange("mail", 0, -1)[::-1]


def test_a_queue_may_be_named_by_a_subclass_of_text(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    commit.add_child(Name("mail"), Name("one"))
    outcome(client, (commit, fence))
    assert [b"one"] == client.lrange("mail", 0, -1)


def test_a_word_that_is_none_is_refused_before_it_is_sent() -> None:
    for word in (None, True, 1.5, ["a"]):
        with pytest.raises(TypeError, match="no word"):
            packed(["tag", word])


def test_a_child_that_waits_is_due_by_redis_clock(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    commit.add_due("orders", b"again", 5_000_000)
    commit.add_due("mail", b"other", 0)
    seconds, micros = client.time()
    before = seconds * 1_000_000 + micros
    outcome(client, (commit, fence))
    seconds, micros = client.time()
    [(other, now), (again, later)] = client.zrange(keys.DUE, 0, -1, withscores=True)
    assert (b"mail\nother", b"orders\nagain") == (other, again)
    assert before < now < seconds * 1_000_000 + micros
    assert 5_000_000 == later - now
    assert gone(client)


def test_a_retry_is_one_step_with_its_acknowledgement(client: redis.Redis) -> None:
    raw, again = message(), message(retries=1)
    tag, fence = claim_one(client, raw)
    commit = Commit(tag)
    commit.add_due("orders", again, 0)
    outcome(client, (commit, fence))
    assert [again] == claim(client).raws
    assert 1 == client.zcard(keys.LEASES)


# Dead letters


@pytest.mark.parametrize(
    "raw",
    [
        message(),
        message(argsrepr='"],"","'),
        json.dumps(json.loads(message()), separators=(",", ":")).encode(),
        message().replace(b"tasks.x", 'täsks"\u2028'.replace('"', "").encode()),
    ],
    ids=["as ours", "with what ends a registration", "narrow", "not ASCII"],
)
def test_a_dead_letter_is_the_message_byte_for_byte(client: redis.Redis, raw: bytes) -> None:
    tag, fence = claim_one(client, raw)
    assert ALL_WELL == outcome(client, (letter(tag), fence))
    assert [(raw, {"reason": "permanent"})] == dead(client)
    assert gone(client)


def test_a_dead_letter_may_have_a_result(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = letter(tag)
    commit.result_key, commit.result = "celery-task-meta-a", b"FAILURE"
    outcome(client, (commit, fence))
    assert b"FAILURE" == client.get("celery-task-meta-a")
    assert 1 == len(dead(client))


def test_the_counted_starts_of_what_ended_are_forgotten(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    client.hset(keys.STARTS, mapping={tag: 2, "other": 1})
    outcome(client, (Commit(tag), fence))
    assert {b"other": b"1"} == client.hgetall(keys.STARTS)


# The fence


@pytest.mark.parametrize("make", [done, letter, Commit], ids=["success", "dead letter", "acknowledgement"])
def test_a_stale_outcome_changes_nothing_and_cannot_erase_the_new_owners_registration(
    client: redis.Redis, make: Any
) -> None:
    raw = message()
    tag, fence = claim_one(client, raw)
    new = taken_over(client, tag)
    before = everything(client)
    assert Answer([tag], [], {}) == outcome(client, (make(tag), fence))
    assert before == everything(client)
    # So if the new owner dies now, the message is not lost.
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    assert [raw] == claim(client).raws
    assert Answer([tag], [], {}) == outcome(client, (make(tag), new))


def test_a_stale_retry_does_not_double_the_message(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    taken_over(client, tag)
    commit = Commit(tag)
    commit.add_due("orders", message(retries=1), 0)
    assert Answer([tag], [], {}) == outcome(client, (commit, fence))
    assert 0 == client.zcard(keys.DUE)


def test_an_outcome_after_the_lease_is_over_is_taken_while_nobody_else_has_the_message(client: redis.Redis) -> None:
    tag, fence = claim_one(client, lease_us=1)
    assert ALL_WELL == outcome(client, (done(tag), fence))
    assert 1 == effects(client)


@pytest.mark.parametrize("fence", [0, "", "nan", "-1", "inf"])
def test_what_is_no_fence_is_refused(client: redis.Redis, fence: Any) -> None:
    tag, _ = claim_one(client)
    assert Answer([tag], [], {}) == outcome(client, (done(tag), fence))
    assert 0 == effects(client)


def test_without_a_lease_nothing_is_taken(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    outcome(client, (done(tag, record=False), fence))
    assert Answer([tag], [], {}) == outcome(client, (done(tag, record=False), fence))
    assert 1 == effects(client)


def test_of_a_batch_only_what_is_stale_is_refused(client: redis.Redis) -> None:
    raws = [message(str(n)) for n in range(3)]
    push(client, *raws)
    fence = claim(client).fence
    tags = [tag_of(raw) for raw in raws]
    client.zadd(keys.LEASES, {tags[1]: fence + 1})
    commits = [(done(tag, str(n)), fence) for n, tag in enumerate(tags)]
    assert Answer([tags[1]], [], {}) == outcome(client, *commits)
    assert [1, 0, 1] == [effects(client, str(n)) for n in range(3)]
    assert [tags[1].encode()] == client.hkeys(keys.UNACKED)


# The record


def test_what_was_done_before_is_acknowledged_and_nothing_more(client: redis.Redis) -> None:
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    second, fence = claim_one(client, message())
    client.set("celery-task-meta-a", "what the first run returned")
    assert Answer([], [second], {}) == outcome(client, (done(second), fence))
    assert (1, 1) == (effects(client), children(client))
    assert b"what the first run returned" == client.get("celery-task-meta-a")
    assert gone(client)


def test_two_of_one_id_in_a_batch_have_one_effect(client: redis.Redis) -> None:
    push(client, message(), message())
    claimed = claim(client)
    first, second = (tag_of(raw) for raw in claimed.raws)
    answer = outcome(client, (done(first), claimed.fence), (done(second), claimed.fence))
    assert Answer([], [second], {}) == answer
    assert (1, 1) == (effects(client), children(client))


def test_a_repeat_makes_the_record_live_on(client: redis.Redis) -> None:
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    client.pexpire("celery-once-a", 1_000)
    second, fence = claim_one(client, message())
    outcome(client, (done(second), fence))
    assert client.pttl("celery-once-a") > 50_000


def test_what_publish_once_wrote_is_no_record(client: redis.Redis) -> None:
    client.set("celery-once-a", "queued:1")
    tag, fence = claim_one(client)
    assert ALL_WELL == outcome(client, (done(tag), fence))
    assert (1, b"done:1") == (effects(client), client.get("celery-once-a"))


def failed(tag: str, *, letter_too: bool) -> Commit:
    commit = letter(tag) if letter_too else Commit(tag)
    commit.record_key = keys.once("a")
    commit.result_key, commit.result = "celery-task-meta-a", b"FAILURE"
    commit.add_due("orders", b"again", 0)
    return commit


@pytest.mark.parametrize("letter_too", [True, False])
def test_a_failure_of_what_was_done_before_changes_nothing(client: redis.Redis, letter_too: bool) -> None:
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    before = everything(client)
    second, fence = claim_one(client, message())
    assert Answer([], [second], {}) == outcome(client, (failed(second, letter_too=letter_too), fence))
    assert before == everything(client)


@pytest.mark.parametrize("was", [None, b"queued:1"])
def test_a_failure_of_what_was_never_done_leaves_no_record(client: redis.Redis, was: bytes | None) -> None:
    if was:
        client.set(keys.once("a"), was)
    tag, fence = claim_one(client)
    assert ALL_WELL == outcome(client, (failed(tag, letter_too=True), fence))
    assert (was, b"FAILURE") == (client.get(keys.once("a")), client.get("celery-task-meta-a"))
    assert (1, 1) == (len(dead(client)), client.zcard(keys.DUE))


# The same work, carried by a message with an id of its own


def again(tag: str, *, failed: bool = False) -> Commit:
    """A repeat of "a" by message "b", with a callback behind the child of the work, and a retry if it failed."""
    commit = done(tag)
    commit.result_key, commit.result = "celery-task-meta-b", b'{"status": "SUCCESS", "result": 2}'
    commit.apart, commit.of_the_work = True, 1
    commit.add_due("mail", b"of the work, later", 0)
    if failed:
        commit.discard()
        commit.bury(keys.dead("orders"), "{}")
        commit.add_due("orders", b"retry", 0)
    commit.add_child("hooks", b"callback")
    return commit


def repeated(client: redis.Redis, commit: Commit, fence: int) -> None:
    assert Answer([], [commit.tag], {}) == outcome(client, (commit, fence))
    assert (1, 1) == (effects(client), children(client))
    assert [] == dead(client)
    assert gone(client)


def asked_again(client: redis.Redis) -> tuple[str, int]:
    """Tag and fence of message "b", claimed when the work of "a" is done."""
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    return claim_one(client, message("b"))


def test_who_asked_for_it_again_gets_a_result_and_the_work_is_not_done_again(client: redis.Redis) -> None:
    tag, fence = asked_again(client)
    repeated(client, again(tag), fence)
    assert [b'"fine"', b'{"status": "SUCCESS", "result": 2}'] == client.mget("celery-task-meta-a", "celery-task-meta-b")
    assert [b"callback"] == client.lrange("hooks", 0, -1)
    assert not client.exists(keys.DUE)


def test_without_children_or_effects_it_gets_its_result_too(client: redis.Redis) -> None:
    tag, fence = asked_again(client)
    commit = again(tag)
    commit.children, commit.effects, commit.due, commit.of_the_work = (), (), (), 0
    repeated(client, commit, fence)
    assert client.exists("celery-task-meta-b")


def test_where_the_repeat_fails_its_retry_waits_and_there_is_no_letter(client: redis.Redis) -> None:
    tag, fence = asked_again(client)
    repeated(client, again(tag, failed=True), fence)
    assert [b"orders\nretry"] == client.zrange(keys.DUE, 0, -1)
    assert [b"callback"] == client.lrange("hooks", 0, -1)
    assert client.exists("celery-task-meta-b")


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"])
def test_what_finished_under_its_own_id_stays(client: redis.Redis, state: str) -> None:
    tag, fence = asked_again(client)
    there = f'{{"status": "{state}", "result": 1}}'.encode()
    client.set("celery-task-meta-b", there)
    repeated(client, again(tag), fence)
    assert there == client.get("celery-task-meta-b")


@pytest.mark.parametrize(
    "there", [b'{"status": "STARTED", "result": null}', b'{"status": "PENDING"}', b"\x80pickle", b""]
)
def test_what_has_not_finished_under_its_own_id_is_replaced(client: redis.Redis, there: bytes) -> None:
    tag, fence = asked_again(client)
    client.set("celery-task-meta-b", there)
    repeated(client, again(tag), fence)
    assert b'{"status": "SUCCESS", "result": 2}' == client.get("celery-task-meta-b")


def test_a_key_of_another_type_in_the_place_of_its_result_is_replaced(client: redis.Redis) -> None:
    tag, fence = asked_again(client)
    client.hset("celery-task-meta-b", "a", 1)
    repeated(client, again(tag), fence)
    assert b'{"status": "SUCCESS", "result": 2}' == client.get("celery-task-meta-b")


def test_the_first_of_two_messages_does_all_of_the_work(client: redis.Redis) -> None:
    tag, fence = claim_one(client, message("b"))
    assert ALL_WELL == outcome(client, (again(tag), fence))
    assert (1, 1, 1) == (effects(client), children(client), client.llen("hooks"))
    assert [b"mail\nof the work, later"] == client.zrange(keys.DUE, 0, -1)


def test_two_messages_of_one_work_in_a_batch_have_one_effect_and_two_results(client: redis.Redis) -> None:
    push(client, message("a"), message("b"))
    claimed = claim(client)
    first, other = (tag_of(raw) for raw in claimed.raws)
    answer = outcome(client, (done(first), claimed.fence), (again(other), claimed.fence))
    assert Answer([], [other], {}) == answer
    assert (1, 1, 2) == (effects(client), children(client), client.exists("celery-task-meta-a", "celery-task-meta-b"))


def test_who_waits_for_the_result_of_the_repeat_is_told(client: redis.Redis) -> None:
    listener = client.pubsub()
    listener.subscribe("celery-task-meta-b")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    tag, fence = asked_again(client)
    repeated(client, again(tag), fence)
    assert b'{"status": "SUCCESS", "result": 2}' == listener.get_message(timeout=5)["data"]
    listener.close()


def test_the_record_of_another_payload_is_a_conflict_and_stays(client: redis.Redis) -> None:
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    second, fence = claim_one(client, message())
    assert Answer([], [], {second: "conflict"}) == outcome(client, (done(second, print_="2"), fence))
    assert (1, 1, b"done:1") == (effects(client), children(client), client.get("celery-once-a"))
    assert client.pttl("celery-once-a") > 50_000
    assert {second.encode()} == set(client.hkeys(keys.UNACKED))


def test_a_conflict_leaves_its_neighbours_alone(client: redis.Redis) -> None:
    client.set("celery-once-b", "done:other")
    raws = [message(name) for name in "abc"]
    push(client, *raws)
    fence = claim(client).fence
    tags = [tag_of(raw) for raw in raws]
    answer = outcome(client, *[(done(tag, name), fence) for tag, name in zip(tags, "abc", strict=True)])
    assert Answer([], [], {tags[1]: "conflict"}) == answer
    assert [1, 0, 1] == [effects(client, name) for name in "abc"]
    assert [tags[1].encode()] == client.hkeys(keys.UNACKED)


# Effects

APPLIED: dict[str, tuple[list[tuple[Any, ...]], Any]] = {
    "SET": ([("SET", "k", "v")], lambda c: c.get("k") == b"v"),
    "DEL": ([("SET", "k", "v"), ("DEL", "k")], lambda c: not c.exists("k")),
    "INCRBY": ([("INCRBY", "k", 7), ("INCRBY", "k", -2)], lambda c: c.get("k") == b"5"),
    "HINCRBY": ([("HINCRBY", "k", "f", -3)], lambda c: c.hgetall("k") == {b"f": b"-3"}),
    "HSET": ([("HSET", "k", "f", "v", "g", b"\xff")], lambda c: c.hgetall("k") == {b"f": b"v", b"g": b"\xff"}),
    "HDEL": ([("HSET", "k", "f", "v", "g", "w"), ("HDEL", "k", "f")], lambda c: c.hgetall("k") == {b"g": b"w"}),
    "SADD": ([("SADD", "k", "a", "b")], lambda c: c.smembers("k") == {b"a", b"b"}),
    "SREM": ([("SADD", "k", "a", "b"), ("SREM", "k", "a")], lambda c: c.smembers("k") == {b"b"}),
    "RPUSH": ([("RPUSH", "k", "a"), ("RPUSH", "k", "b")], lambda c: c.lrange("k", 0, -1) == [b"a", b"b"]),
    "LPUSH": ([("LPUSH", "k", "a"), ("LPUSH", "k", "b")], lambda c: c.lrange("k", 0, -1) == [b"b", b"a"]),
    "ZADD": ([("ZADD", "k", 1.5, "m")], lambda c: c.zrange("k", 0, -1, withscores=True) == [(b"m", 1.5)]),
    "XADD": ([("XADD", "k", "*", "f", "v")], lambda c: [f for _, f in c.xrange("k")] == [{b"f": b"v"}]),
}


@pytest.mark.parametrize(("wanted", "holds"), APPLIED.values(), ids=APPLIED)
def test_an_effect_is_applied(client: redis.Redis, wanted: list[tuple[Any, ...]], holds: Any) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    commit.effects = wanted
    assert ALL_WELL == outcome(client, (commit, fence))
    assert holds(client)


def test_effects_and_children_of_several_messages_are_told_apart(client: redis.Redis) -> None:
    raws = [message(str(n)) for n in range(4)]
    push(client, *raws)
    fence = claim(client).fence
    commits = []
    for number, raw in enumerate(raws):
        commit = Commit(tag_of(raw))
        commit.effects = [("RPUSH", "k", *[f"{number}{word}" for word in range(number + 1)])] * number
        for child in range(3 - number):
            commit.add_child("mail", f"{number}{child}")
        commits.append((commit, fence))
    assert ALL_WELL == outcome(client, *commits)
    assert (
        "10 11 20 21 22 20 21 22 30 31 32 33 30 31 32 33 30 31 32 33" == b" ".join(client.lrange("k", 0, -1)).decode()
    )
    assert "00 01 02 10 11 20" == b" ".join(client.lrange("mail", 0, -1)[::-1]).decode()


KINDS: dict[str, tuple[Any, ...]] = {
    "string": ("SET", "there", "x"),
    "hash": ("HSET", "there", "f", "x"),
    "set": ("SADD", "there", "x"),
    "list": ("RPUSH", "there", "x"),
    "zset": ("ZADD", "there", 1, "x"),
    "stream": ("XADD", "there", "*", "f", "x"),
}
EFFECTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "SET": (("SET", "there", "v"), "string"),
    "INCRBY": (("INCRBY", "there", 1), "string"),
    "HINCRBY": (("HINCRBY", "there", "n", 1), "hash"),
    "HSET": (("HSET", "there", "f", "v"), "hash"),
    "HDEL": (("HDEL", "there", "f"), "hash"),
    "SADD": (("SADD", "there", "v"), "set"),
    "SREM": (("SREM", "there", "v"), "set"),
    "RPUSH": (("RPUSH", "there", "v"), "list"),
    "LPUSH": (("LPUSH", "there", "v"), "list"),
    "ZADD": (("ZADD", "there", 1, "v"), "zset"),
    "XADD": (("XADD", "there", "*", "f", "v"), "stream"),
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, (_, fits) in EFFECTS.items() for kind in KINDS if kind != fits]
)
def test_an_effect_on_another_type_leaves_everything_undone(client: redis.Redis, name: str, kind: str) -> None:
    effect, _ = EFFECTS[name]
    client.execute_command(*KINDS[kind])
    tag, fence = claim_one(client)
    before = everything(client)
    commit = done(tag)
    commit.effects = [("SADD", "first", "x"), effect, ("SADD", "last", "x")]
    answer = outcome(client, (commit, fence))
    assert [tag] == list(answer.left)
    assert all(word in answer.left[tag] for word in (name, "there", kind))
    assert before == everything(client)


NUMBERS = ["abc", "", "1.5", "1e3", " 1", "99999999999999999", "9223372036854775807", "-9223372036854775808", "0x10"]


@pytest.mark.parametrize("text", NUMBERS)
def test_what_cannot_be_counted_up_leaves_everything_undone(client: redis.Redis, text: str) -> None:
    client.set("there", text)
    client.hset("counts", "n", text)
    tag, fence = claim_one(client)
    before = everything(client)
    for effect in (("INCRBY", "there", 1), ("HINCRBY", "counts", "n", 1), ("INCRBY", "new", text)):
        commit = done(tag)
        commit.effects = [effect]
        assert [tag] == list(outcome(client, (commit, fence)).left)
        assert before == everything(client)


@pytest.mark.parametrize(
    "wanted",
    [
        [("SADD", "k", "v"), ("HSET", "k", "f", "v")],
        [("SET", "k", "abc"), ("INCRBY", "k", 1)],
        [("INCRBY", "leading zero", 1)],
        [("INCRBY", "k", "-0")],
        [("ZADD", "k", float("nan"), "m")],
        [("HSET", "k", "n", "9999999999999999999"), ("HINCRBY", "k", "n", 1)],
    ],
)
def test_effects_that_do_not_fit_together_leave_everything_undone(client: redis.Redis, wanted: Any) -> None:
    client.set("leading zero", "007")
    tag, fence = claim_one(client)
    before = everything(client)
    commit = done(tag)
    commit.effects = [("SADD", "first", "x"), *wanted]
    try:
        assert [tag] == list(outcome(client, (commit, fence)).left)
    finally:
        assert before == everything(client)


@pytest.mark.parametrize("where", ["mail", keys.DUE, "celery-dead-orders"])
def test_what_cannot_be_published_leaves_everything_undone(client: redis.Redis, where: str) -> None:
    tag, fence = claim_one(client)
    client.set(where, "something else")
    before = everything(client)
    commit = done(tag)
    if where == keys.DUE:
        commit.add_due("orders", b"again", 0)
    if where == "celery-dead-orders":
        commit = letter(tag)
    with suppress(redis.ResponseError):
        outcome(client, (commit, fence))
    assert before == everything(client)


def test_an_error_in_the_middle_leaves_no_neighbour_applied_and_not_acknowledged(client: redis.Redis) -> None:
    client.set("leading zero", "007")
    raws = [message("good"), message("bad")]
    push(client, *raws)
    fence = claim(client).fence
    good, bad = (tag_of(raw) for raw in raws)
    poison = Commit(bad)
    poison.effects = [("INCRBY", "leading zero", 1)]
    with suppress(redis.ResponseError):
        outcome(client, (done(good, "good", record=False), fence), (poison, fence))
    assert effects(client, "good") == 1 - client.hexists(keys.UNACKED, good)


def test_an_effect_that_does_not_fit_leaves_its_neighbours_alone(client: redis.Redis) -> None:
    client.set("there", "x")
    raws = [message(name) for name in "abc"]
    push(client, *raws)
    fence = claim(client).fence
    commits = [done(tag_of(raw), name) for raw, name in zip(raws, "abc", strict=True)]
    commits[1].effects.append(("SADD", "there", "x"))
    assert [commits[1].tag] == list(outcome(client, *[(one, fence) for one in commits]).left)
    assert [1, 0, 1] == [effects(client, name) for name in "abc"]
    assert 2 == children(client)


def test_what_an_earlier_message_of_the_batch_did_counts(client: redis.Redis) -> None:
    raws = [message("a"), message("b")]
    push(client, *raws)
    fence = claim(client).fence
    first, second = (Commit(tag_of(raw)) for raw in raws)
    first.effects, second.effects = [("SADD", "k", "v")], [("HSET", "k", "f", "v")]
    assert [second.tag] == list(outcome(client, (first, fence), (second, fence)).left)


def test_a_duplicate_is_done_even_where_its_effects_would_not_fit_any_more(client: redis.Redis) -> None:
    first, fence = claim_one(client)
    outcome(client, (done(first), fence))
    client.delete("effects")
    client.set("effects", "text")
    second, fence = claim_one(client, message())
    assert Answer([], [second], {}) == outcome(client, (done(second), fence))


# A full Redis


def test_a_full_redis_takes_outcomes_whole(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        raws = [message(name) for name in "abcd"]
        push(client, *raws)
        fence = claim(client).fence
        tags = [tag_of(raw) for raw in raws]
        full(client)
        retry = Commit(tags[1])
        retry.add_due("orders", b"again", 0)
        commits = [done(tags[0]), retry, letter(tags[2]), Commit(tags[3])]
        assert ALL_WELL == outcome(client, *[(one, fence) for one in commits])
        assert (1, 1, 1, 1) == (effects(client), children(client), client.zcard(keys.DUE), len(dead(client)))
        assert gone(client)


def test_an_outcome_that_is_sent_twice_has_its_effect_once_also_without_a_record(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = done(tag, record=False)
    assert ALL_WELL == outcome(client, (commit, fence))
    assert Answer([tag], [], {}) == outcome(client, (commit, fence))
    assert (1, 1) == (effects(client), children(client))


def test_a_retry_that_waits_is_not_early(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    commit = Commit(tag)
    commit.add_due("orders", message(retries=1), 3_600_000_000)
    outcome(client, (commit, fence))
    assert [] == claim(client).messages
