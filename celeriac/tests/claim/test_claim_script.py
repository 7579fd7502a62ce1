"""claim.lua against a real Redis: what it takes and in which order, what it leaves, and what it cannot read."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import (
    claim,
    dead,
    everything,
    full,
    message,
    overdue,
    push,
    tag_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS, lists
from celeriac.lease.restore import restore

pytestmark = pytest.mark.integration

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LATER = "2099-01-01T00:00:00+00:00"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def changed(part: str = "", **values: Any) -> bytes:
    """A message with something else in one part of it; None: without it."""
    whole = json.loads(message())
    place = whole[part] if part else whole
    place.update(values)
    for name in [name for name, value in values.items() if value is None]:
        del place[name]
    return json.dumps(whole).encode()


# Order


def test_what_was_published_first_is_taken_first(client: redis.Redis) -> None:
    raws = [message(str(n)) for n in range(5)]
    push(client, *raws)
    assert raws == claim(client).raws


def test_lists_are_served_in_the_order_in_which_they_are_named(client: redis.Redis) -> None:
    names = [name for step in range(4) for name in (lists("orders")[step], lists("mail")[step])]
    for name in reversed(names):
        push(client, message(name), to=name)
    assert names == [name for name, _ in claim(client, *names).messages]


def test_no_more_are_taken_than_were_asked_for_over_all_lists(client: redis.Redis) -> None:
    push(client, *[message(str(n)) for n in range(3)])
    push(client, *[message(str(n)) for n in range(3)], to="mail")
    assert ["orders"] * 3 + ["mail"] == [name for name, _ in claim(client, "orders", "mail", want=4).messages]
    assert (0, 2) == (client.llen("orders"), client.llen("mail"))


def test_nothing_is_taken_where_nothing_was_asked_for(client: redis.Redis) -> None:
    push(client, message())
    assert [] == claim(client, want=0).messages
    assert 1 == client.llen("orders")


# Large messages


def large(name: str, size: int) -> bytes:
    return message(name, argsrepr="x" * size)


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([400_000] * 10, 2),
        ([5_000_000, 10, 10], 1),
        ([10, 5_000_000, 10], 1),
        ([10] * 30 + [900_000] * 3, 31),
        ([999_000, 10], 1),
        ([9_000] * 100, 100),
        ([10] * 100, 100),
    ],
)
def test_a_claim_ends_at_a_megabyte_and_takes_one_message_at_least(
    client: redis.Redis, sizes: list[int], taken: int
) -> None:
    raws = [large(str(n), size) for n, size in enumerate(sizes)]
    push(client, *raws)
    claimed = claim(client)
    assert (raws[:taken], taken < len(raws)) == (claimed.raws, claimed.more)
    assert raws[taken:] == client.lrange("orders", 0, -1)[::-1]
    while got := claim(client).raws:
        claimed.raws.extend(got)
    assert len(raws) == client.zcard(keys.LEASES) == client.hlen(keys.UNACKED)


def test_the_size_is_of_all_lists_together(client: redis.Redis) -> None:
    push(client, large("a", 600_000))
    push(client, large("b", 600_000), to="mail")
    claimed = claim(client, "orders", "mail")
    assert (["orders"], True) == ([name for name, _ in claimed.messages], claimed.more)
    claimed = claim(client, "orders", "mail")
    assert (["mail"], False) == ([name for name, _ in claimed.messages], claimed.more)


def test_where_the_size_ends_it_no_later_list_is_served_before_the_rest(client: redis.Redis) -> None:
    push(client, large("a", 600_000), large("b", 600_000))
    push(client, message("c"), to="mail")
    assert ["orders"] == [name for name, _ in claim(client, "orders", "mail").messages]
    assert ["orders", "mail"] == [name for name, _ in claim(client, "orders", "mail").messages]


# What is left


@pytest.mark.parametrize(("want", "left"), [(1, True), (2, True), (3, False), (4, False)])
def test_it_says_whether_messages_are_left(client: redis.Redis, want: int, left: bool) -> None:
    push(client, message("a"), message("b"))
    push(client, message("c"), to="mail")
    assert left == claim(client, "orders", "mail", want=want).more


def test_what_it_does_not_claim_from_is_not_left(client: redis.Redis) -> None:
    push(client, b"hello")
    claim(client, bound=1)
    push(client, message())
    assert (["orders"], False) == claim(client, bound=1)[-2:]
    push(client, message(), to="mail")
    assert (["orders"], False) == claim(client, "orders", "mail", bound=1)[-2:]


def test_large_messages_that_nobody_can_read_are_letters_one_after_the_other(client: redis.Redis) -> None:
    push(client, *[b"x" * 900_000] * 3, message())
    for taken, more, left in ((0, True, 3), (0, True, 2), (1, False, 0)):
        claimed = claim(client)
        assert (taken, more, left) == (len(claimed.raws), claimed.more, client.llen("orders"))
    assert 3 == len(dead(client))


def test_a_queue_that_is_not_claimed_from_ends_no_claim(client: redis.Redis) -> None:
    push(client, b"bad")
    claim(client)
    push(client, *[large(str(n), 900_000) for n in range(3)])
    push(client, message(), to="mail")
    claimed = claim(client, "orders", "mail", bound=1)
    assert (["orders"], 1, False) == (claimed.full, len(claimed.messages), claimed.more)


# What a claim leaves behind


def test_a_message_is_registered_as_kombu_does_it_and_leased_until_the_fence(client: redis.Redis) -> None:
    raw = message()
    push(client, raw, to=lists("orders")[2])
    before = now_us(client)
    claimed = claim(client, lists("orders")[2], lease_us=1_000_000)
    assert {tag_of(raw).encode(): b"[" + raw + b',"","orders"]'} == client.hgetall(keys.UNACKED)
    assert [json.loads(raw), "", "orders"] == json.loads(client.hvals(keys.UNACKED)[0])
    assert [(tag_of(raw).encode(), float(claimed.fence))] == client.zrange(keys.LEASES, 0, -1, withscores=True)
    assert before + 1_000_000 < claimed.fence <= now_us(client) + 1_000_000
    assert 0 == client.exists(lists("orders")[2])


def now_us(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return seconds * 1_000_000 + microseconds


def test_an_empty_queue_is_not_touched(client: redis.Redis) -> None:
    assert ([], -1) == (claim(client).messages, claim(client).wait_ms)
    assert {} == everything(client)


def test_only_what_was_taken_back_before_has_starts(client: redis.Redis) -> None:
    old, new = message("old"), message("new")
    push(client, old)
    claim(client)
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    push(client, new)
    assert {tag_of(old): 0} == claim(client).starts


# What nobody can read

UNREADABLE = {
    "empty": b"",
    "not JSON": b"hello",
    "binary": b"\xff\xfe\x00\x80",
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "deep": b"[" * 100_000,
    "large": b"x" * 900_000,
    "cut off": message()[:-10],
    "an empty object": b"{}",
    "no body": message().replace(b'{"body"', b'{"soul"').replace(b'"}}', b'" }}'),
    "a body that is an object": changed(body={}).replace(b'"}}', b'" }}'),
    "no headers": changed(headers=None),
    "headers that are a list of words": changed(headers="x"),
    "no properties": changed(properties=None),
    "properties that are text": changed(properties="x"),
    "no tag": changed("properties", delivery_tag=None),
    "an empty tag": changed("properties", delivery_tag=""),
    "a tag that is a number": changed("properties", delivery_tag=5),
    "a tag that is a list": changed("properties", delivery_tag=["x"]),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_it_becomes_a_dead_letter_alone_and_its_neighbours_are_taken(client: redis.Redis, raw: bytes) -> None:
    good = [message(str(n)) for n in range(4)]
    push(client, *good[:2], raw, *good[2:])
    claimed = claim(client)
    assert good == claimed.raws
    assert [raw] == [one for one, _ in dead(client)]
    assert {tag_of(one).encode() for one in good} == set(client.hkeys(keys.UNACKED))
    assert 4 == client.zcard(keys.LEASES)
    assert 0 == client.llen("orders")


def test_a_letter_names_its_queue_and_its_reason(client: redis.Redis) -> None:
    push(client, b"hello", to=lists("orders")[1])
    claim(client, lists("orders")[1])
    [(_, about)] = dead(client, "orders")
    assert ("undecodable", "orders") == (about["reason"], about["queue"])
    assert about["error"]


@QUICK
@given(st.lists(st.binary(max_size=60) | st.just(b"good"), max_size=12), st.integers(1, 20))
def test_every_message_is_taken_or_a_letter_or_still_there(redis_server: Any, pieces: list[bytes], want: int) -> None:
    with redis.Redis(port=redis_server.port) as client:
        client.flushdb()
        raws = [message(str(n)) if piece == b"good" else piece for n, piece in enumerate(pieces)]
        if raws:
            push(client, *raws)
        taken = claim(client, want=want).raws
        bad = [raw for raw, _ in dead(client)]
        assert [raw for raw in raws[:want] if raw.startswith(b'{"body"')] == taken
        assert [raw for raw in raws[:want] if raw not in taken] == bad
        assert raws[want:] == client.lrange("orders", 0, -1)[::-1]


def test_a_tag_as_kombu_does_not_write_it_is_read_all_the_same(client: redis.Redis) -> None:
    """Another length, another place, an escape in it."""
    whole = json.loads(message())
    whole["properties"] = {
        "delivery_tag": 'a"b',
        **{k: v for k, v in whole["properties"].items() if k[-3:] != "tag"},
    }
    raw = json.dumps(whole).encode()
    push(client, raw)
    assert [raw] == claim(client).raws
    assert [b'a"b'] == client.hkeys(keys.UNACKED)


def test_what_looks_like_a_tag_and_has_a_quote_in_it_is_read_as_a_whole(client: redis.Redis) -> None:
    raw = b'{"eta": null, "delivery_tag": "0123456789", "x": "0123456789abcdefg"}}'
    assert raw[-56:-40].startswith(b'"delivery_tag"')
    push(client, raw)
    assert [] == claim(client).raws
    assert [raw] == [one for one, _ in dead(client)]


# One tag twice


def test_of_two_messages_with_one_tag_in_a_batch_the_first_is_taken(client: redis.Redis) -> None:
    first, good = message("first"), message("good")
    second = first.replace(b'"first"', b'"other"')
    push(client, first, second, good)
    assert [first, good] == claim(client).raws
    assert [(second, "conflict")] == [(raw, about["reason"]) for raw, about in dead(client)]


def test_a_message_with_the_tag_of_one_that_is_held_does_not_take_its_place(client: redis.Redis) -> None:
    first, good = message("first"), message("good")
    second = first.replace(b'"first"', b'"other"')
    push(client, first)
    held = claim(client)
    push(client, second, good)
    assert [good] == claim(client, lease_us=90_000_000).raws
    assert [second] == [raw for raw, _ in dead(client)]
    assert b"[" + first + b',"","orders"]' == client.hget(keys.UNACKED, tag_of(first))
    assert held.fence == client.zscore(keys.LEASES, tag_of(first))


def test_a_lease_is_not_taken_over_where_a_stock_worker_erased_the_registration(client: redis.Redis) -> None:
    """It had the message before, and acknowledged it when it was somebody else's."""
    first = message("first")
    push(client, first)
    held = claim(client)
    client.hdel(keys.UNACKED, tag_of(first))
    push(client, first)
    assert [] == claim(client, lease_us=90_000_000).raws
    assert held.fence == client.zscore(keys.LEASES, tag_of(first))


def test_a_message_with_the_tag_of_one_in_another_list_does_not_take_its_place(client: redis.Redis) -> None:
    first = message("first")
    push(client, first)
    push(client, first.replace(b'"first"', b'"other"'), to="mail")
    assert [first] == claim(client, "orders", "mail").raws
    assert 1 == len(dead(client, "mail"))


def test_a_message_with_the_tag_of_one_that_a_stock_worker_holds_does_not_take_its_place(client: redis.Redis) -> None:
    first = message("first")
    client.zadd("unacked_index", {tag_of(first): 1})
    client.hset(keys.UNACKED, tag_of(first), json.dumps([json.loads(first), "", "orders"]))
    push(client, first.replace(b'"first"', b'"other"'))
    claim(client)
    assert first == json.dumps(json.loads(client.hget(keys.UNACKED, tag_of(first)) or b"")[0]).encode()


# Full dead letters


@pytest.mark.parametrize(("bound", "taken"), [(2, 0), (3, 1)])
def test_at_the_bound_of_dead_letters_a_queue_is_no_longer_claimed_from(
    client: redis.Redis, bound: int, taken: int
) -> None:
    push(client, b"one", b"two")
    claim(client)
    push(client, message())
    push(client, message(), to=lists("orders")[1])
    push(client, message(), to="mail")
    claimed = claim(client, "orders", lists("orders")[1], "mail", bound=bound)
    assert ([] if taken else ["orders", lists("orders")[1]]) == claimed.full
    assert 2 * taken + 1 == len(claimed.messages)
    assert (1 - taken, 1 - taken) == (client.llen("orders"), client.llen(lists("orders")[1]))
    assert 2 == len(dead(client))


def test_an_empty_queue_at_the_bound_is_not_told_of(client: redis.Redis) -> None:
    push(client, b"one")
    claim(client)
    assert [] == claim(client, bound=1).full


# Due times


def test_a_message_whose_time_is_ahead_waits_with_it(client: redis.Redis) -> None:
    raw = message(eta=LATER, priority=3)
    push(client, raw, message("now"), to=lists("orders")[1])
    assert 1 == len(claim(client, lists("orders")[1]).messages)
    assert [(f"{lists('orders')[1]}\n".encode() + raw, micros(LATER))] == client.zrange(
        keys.DUE, 0, -1, withscores=True
    )
    assert (1, 1) == (client.zcard(keys.LEASES), client.hlen(keys.UNACKED))


def test_who_finds_only_what_has_to_wait_is_told_how_long(client: redis.Redis) -> None:
    push(client, message(eta=LATER))
    assert abs(claim(client).wait_ms - (micros(LATER) - now_us(client)) / 1_000) < 10_000


def micros(text: str) -> float:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)


def test_it_is_taken_next_when_its_time_has_come(client: redis.Redis) -> None:
    raw, other = message("waited"), message("other")
    client.zadd(keys.DUE, {b"orders\n" + raw: now_us(client)})
    push(client, other)
    claimed = claim(client)
    assert ([raw, other], -1) == (claimed.raws, claimed.wait_ms)
    assert 0 == client.exists(keys.DUE)


def test_it_is_not_taken_a_moment_before(client: redis.Redis) -> None:
    client.zadd(keys.DUE, {b"orders\n" + message(): now_us(client) + 50_000})
    claimed = claim(client)
    assert [] == claimed.messages
    assert 0 < claimed.wait_ms <= 50


def test_the_wait_is_rounded_up_so_that_who_wakes_is_not_early(client: redis.Redis) -> None:
    due = now_us(client) + 60_000_000
    client.zadd(keys.DUE, {"orders\nx": due})
    wait_us, now = claim(client).wait_ms * 1_000, now_us(client)
    assert wait_us >= due - now
    assert wait_us % 1_000 == 0


def test_its_time_counts_by_redis_even_where_the_message_says_otherwise(client: redis.Redis) -> None:
    """A message that waited and says that its time is ahead waits on, by what it says: never early."""
    raw = message(eta=LATER)
    client.zadd(keys.DUE, {b"orders\n" + raw: 1})
    assert [] == claim(client).messages
    assert [(b"orders\n" + raw, micros(LATER))] == client.zrange(keys.DUE, 0, -1, withscores=True)


def test_a_hundred_at_a_time_become_due_for_the_others_cannot_wait(client: redis.Redis) -> None:
    client.zadd(keys.DUE, {b"orders\n" + message(str(n)): n + 1 for n in range(150)})
    claimed = claim(client, want=200)
    assert (100, 0) == (len(claimed.messages), claimed.wait_ms)
    assert 50 == len(claim(client).messages)


def test_a_time_that_has_passed_is_no_reason_to_wait(client: redis.Redis) -> None:
    raw = message(eta="2020-02-29T23:59:59.999999-11:30")
    push(client, raw)
    assert [raw] == claim(client).raws


@QUICK
@given(
    st.datetimes(datetime(2031, 1, 1), datetime(2099, 12, 31)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["plain", "Z", "naive", "no colon", "space", "milliseconds"]),
)
def test_every_time_is_read_to_the_microsecond(
    redis_server: Any, moment: datetime, offset_minutes: int, how: str
) -> None:
    if how in ("Z", "naive"):
        offset_minutes = 0
    if how == "milliseconds":
        moment = moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    text = aware.isoformat()
    match how:
        case "Z":
            text = text.replace("+00:00", "Z")
        case "naive":
            text = moment.isoformat()
        case "no colon":
            text = text[:-3] + text[-2:]
        case "space":
            text = text.replace("T", " ")
        case "milliseconds":
            text = aware.isoformat(timespec="milliseconds")
    with redis.Redis(port=redis_server.port) as client:
        client.flushdb()
        push(client, message(eta=text))
        assert [] == claim(client).messages
        assert [micros(aware.isoformat())] == [score for _, score in client.zrange(keys.DUE, 0, -1, withscores=True)]


@pytest.mark.parametrize(
    "eta",
    ["tomorrow", "", "2099-01-01", "2099-01-01T00:00Z", "20990101T000000Z", "2099-01-01T00:00:00+01:00:30",
     "2099-01-01T00:00:00+01", "2099-01-01T00:00:00,5Z", "2099-01-01T00:00:1.2.3Z"],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_never_early(client: redis.Redis, eta: str) -> None:
    raw = message(eta=eta)
    push(client, raw, message("good"))
    assert 1 == len(claim(client).messages)
    assert 1 == client.zcard(keys.DUE) + len(dead(client))


@pytest.mark.parametrize("place", ["before", "after"])
def test_only_its_own_eta_counts(client: redis.Redis, place: str) -> None:
    whole = json.loads(message(eta=LATER))
    other = {"mine": {"eta": None}}
    whole["headers"] = {**other, **whole["headers"]} if place == "before" else {**whole["headers"], **other}
    push(client, json.dumps(whole).encode())
    assert ([], 1) == (claim(client).messages, client.zcard(keys.DUE))


def test_a_message_that_waited_may_show_half_a_surrogate_pair(client: redis.Redis) -> None:
    raw = message(eta="2020-01-01T00:00:00+00:00", argsrepr="\ud800")
    push(client, raw)
    assert [raw] == claim(client).raws


# A full Redis


def test_a_full_redis_lets_messages_be_taken(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        raws = [message("now"), message("later", eta=LATER), b"hello", message("ripe")]
        push(client, *raws[:3])
        client.zadd(keys.DUE, {b"orders\n" + raws[3]: 1})
        full(client)
        assert [raws[3], raws[0]] == claim(client).raws
        assert (1, 1, 2, 2) == (
            client.zcard(keys.DUE), len(dead(client)), client.zcard(keys.LEASES), client.hlen(keys.UNACKED),
        )  # fmt: skip


# A script that ends in the middle


def test_an_error_in_the_middle_takes_no_message_away(client: redis.Redis) -> None:
    """They leave their list last."""
    raws = [message(str(n)) for n in range(3)]
    push(client, *raws)
    client.set(keys.UNACKED, "no hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        claim(client)
    assert raws == client.lrange("orders", 0, -1)[::-1]


def test_what_was_just_claimed_is_not_over(client: redis.Redis) -> None:
    push(client, message())
    claim(client)
    assert 0 == restore(client, SEPARATOR, STEPS)
