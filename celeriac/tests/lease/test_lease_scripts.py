"""renew, start, release, state and restore: what may be done with a claim, and by whom."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import claim, claim_one, everything, full, message, overdue, push, tag_of

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS, list_of, lists
from celeriac.dead_letter.replay import _REPLAY as REPLAY
from celeriac.lease.leases import RELEASE, RENEW, START
from celeriac.lease.restore import AT_ONCE as RESTORE_AT_ONCE
from celeriac.lease.restore import restore
from celeriac.lease.starts import PROVEN
from celeriac.outcome.committer import STATE

pytestmark = pytest.mark.integration

RELEASE_KEYS = (keys.UNACKED, keys.LEASES, keys.STARTS)
UNRECORDED = (0, "", "")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def back(client: redis.Redis, over_seconds: float = 0.0) -> int:
    return restore(client, SEPARATOR, STEPS, over_seconds)


def now_us(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return seconds * 1_000_000 + microseconds


# Renew


def test_a_lease_that_is_ours_gets_a_new_deadline_which_is_the_new_fence(client: redis.Redis) -> None:
    tag, old = claim_one(client)
    fence, lost = RENEW(client, [keys.LEASES], [90_000_000, tag, old])
    assert [] == lost
    assert float(fence) == client.zscore(keys.LEASES, tag)
    assert 89_000_000 < int(fence) - now_us(client) <= 90_000_000


@pytest.mark.parametrize("theirs", [True, False], ids=["somebody else's", "nobody's"])
def test_a_lease_that_is_not_ours_is_told_and_left_alone(client: redis.Redis, theirs: bool) -> None:
    mine, fence = claim_one(client)
    tag, old = claim_one(client)
    overdue(client)
    assert 2 == back(client)
    if theirs:
        claim(client)
    client.zadd(keys.LEASES, {mine: fence})
    before = client.zscore(keys.LEASES, tag)
    new, lost = RENEW(client, [keys.LEASES], [90_000_000, tag, old, mine, fence])
    assert [tag.encode()] == lost
    assert (before, float(new)) == (client.zscore(keys.LEASES, tag), client.zscore(keys.LEASES, mine))


def test_a_full_redis_renews(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        tag, old = claim_one(client)
        full(client)
        fence, _ = RENEW(client, [keys.LEASES], [90_000_000, tag, old])
        assert int(fence) == client.zscore(keys.LEASES, tag) > old


# Start


def test_starts_are_counted_up_and_the_record_is_told(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    words = [keys.STARTS, keys.LEASES, keys.once("a")]
    assert [1, None] == START(client, words, [tag, fence, 1, ""])
    client.set(keys.once("a"), "done:1")
    assert [2, b"done:1"] == START(client, words, [tag, fence, 1, ""])
    assert {tag.encode(): b"2"} == client.hgetall(keys.STARTS)


def test_a_task_without_a_record_has_none(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    assert [1, None] == START(client, [keys.STARTS, keys.LEASES, ""], [tag, fence, 1, ""])


def test_a_start_of_what_is_not_ours_any_more_is_not_counted(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    overdue(client)
    assert 1 == back(client)
    before = everything(client)
    assert [-1, None] == START(client, [keys.STARTS, keys.LEASES, ""], [tag, fence, 1, ""])
    claim(client)
    assert [-1, None] == START(client, [keys.STARTS, keys.LEASES, ""], [tag, fence, 1, ""])
    assert before[b"celery-starts"] == everything(client)[b"celery-starts"]


def test_a_full_redis_counts_starts(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        tag, fence = claim_one(client)
        full(client)
        assert [1, None] == START(client, [keys.STARTS, keys.LEASES, ""], [tag, fence, 1, ""])


# Release


def test_what_is_given_back_is_taken_next_and_nothing_of_the_claim_remains(client: redis.Redis) -> None:
    raw, other = message("first"), message("other")
    tag, fence = claim_one(client, raw)
    push(client, other)
    assert 1 == RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, fence, "orders", "0"])
    assert {b"orders"} == set(client.keys())
    assert [raw, other] == claim(client).raws


def test_several_are_given_back_to_their_lists(client: redis.Redis) -> None:
    low = lists("orders")[3]
    push(client, message())
    push(client, message(), to=low)
    claimed = claim(client, "orders", low)
    words = [word for name, raw in claimed.messages for word in (tag_of(raw), claimed.fence, name, "0")]
    assert 2 == RELEASE(client, RELEASE_KEYS, [*UNRECORDED, *words])
    assert claimed.messages == claim(client, "orders", low).messages


def test_a_message_for_which_its_worker_ends_starts_next_as_one_whose_death_that_was(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, fence, "orders", "1"])
    assert {tag: PROVEN} == claim(client).starts


@pytest.mark.parametrize(
    ("how", "before", "after"),
    [
        ("0", "3", 3),
        ("1", "3", PROVEN + 3),
        ("1", f"{PROVEN + 3}", PROVEN + 3),
        ("2", "3", 2),
        ("2", "1", 0),
        ("2", "0", 0),
        ("2", f"{PROVEN + 3}", 2),  # a stop while it ran alone
    ],
)
def test_starts_that_were_counted_before_are_kept_and_a_stop_takes_one_back(
    client: redis.Redis, how: str, before: str, after: int
) -> None:
    tag, fence = claim_one(client)
    client.hset(keys.STARTS, tag, before)
    RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, fence, "orders", how])
    assert {tag: after} == claim(client).starts


def test_a_stop_does_not_make_the_next_start_count(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, fence, "orders", "2"])
    assert {} == claim(client).starts


def test_a_start_alone_says_so_until_others_run_beside_it(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    words = [keys.STARTS, keys.LEASES, ""]
    assert [PROVEN + 1, None] == START(client, words, [tag, fence, PROVEN + 1, ""])
    assert [1, None] == START(client, words, [tag, fence, -PROVEN, ""])


def test_only_what_is_ours_can_be_given_back(client: redis.Redis) -> None:
    mine, fence = claim_one(client)
    tag, old = claim_one(client)
    client.zadd(keys.LEASES, {tag: old + 1})
    before = client.hget(keys.UNACKED, tag)
    assert 1 == RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, old, "orders", "1", mine, fence, "orders", "0"])
    assert (before, old + 1) == (client.hget(keys.UNACKED, tag), client.zscore(keys.LEASES, tag))
    assert 1 == client.llen("orders")
    assert 0 == client.exists(keys.STARTS)
    assert 0 == RELEASE(client, RELEASE_KEYS, [*UNRECORDED, mine, fence, "orders", "0"])


def test_a_full_redis_takes_claims_back(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        tag, fence = claim_one(client)
        full(client)
        assert 1 == RELEASE(client, RELEASE_KEYS, [*UNRECORDED, tag, fence, "orders", "1"])
        assert (1, 0, 1) == (client.llen("orders"), client.zcard(keys.LEASES), client.hlen(keys.STARTS))


# State


@pytest.mark.parametrize(("seconds", "ttl"), [(60, 60), (0, -1)])
def test_a_state_is_stored_and_told_while_the_message_is_ours(client: redis.Redis, seconds: int, ttl: int) -> None:
    tag, fence = claim_one(client)
    listener = client.pubsub()
    listener.subscribe("meta")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    assert 1 == STATE(client, [keys.LEASES, "meta", keys.once("a")], [tag, fence, b"STARTED", seconds, 0, ""])
    assert (b"STARTED", ttl) == (client.get("meta"), client.ttl("meta"))
    assert b"STARTED" == listener.get_message(timeout=5)["data"]
    listener.close()


def test_a_state_of_what_was_done_before_does_not_hide_its_result(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    client.set(keys.once("a"), "done:1")
    assert 1 == STATE(client, [keys.LEASES, "meta", keys.once("a")], [tag, fence, b"STARTED", 60, 0, ""])
    assert not client.exists("meta")


def test_a_state_of_what_is_not_ours_any_more_does_not_hide_what_became_of_it(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    overdue(client)
    assert 0 == STATE(client, [keys.LEASES, "meta", keys.once("a")], [tag, fence, b"STARTED", 60, 0, ""])
    assert not client.exists("meta")


@pytest.mark.parametrize(
    ("was", "end", "stays"),
    [
        ("PENDING", 0, False),
        ("RETRY", 0, False),
        ("HALFWAY", 0, True),  # of the body itself
        ("PROGRESS", 0, False),  # of a run before
        ("STARTED", 2, False),
        ("PROGRESS", 2, False),
        ("HALFWAY", 2, False),
        ("SUCCESS", 2, True),
        ("SUCCESS", 0, True),
        ("SUCCESS", 1, True),
        ("PROGRESS", 1, False),
        ("FAILURE", 1, False),
    ],
)
def test_a_state_replaces_what_is_older_than_it(client: redis.Redis, was: str, end: int, stays: bool) -> None:
    tag, fence = claim_one(client)
    before = f'{{"status": "{was}", "result": null}}'.encode()
    client.set("meta", before)
    assert 1 == STATE(client, [keys.LEASES, "meta", keys.once("a")], [tag, fence, b"new", 60, end, ""])
    assert (before if stays else b"new") == client.get("meta")


def test_who_only_looks_stores_nothing(client: redis.Redis) -> None:
    tag, fence = claim_one(client)
    assert 1 == STATE(client, [keys.LEASES, "", keys.once("a")], [tag, fence, b"", 60, 1, ""])
    assert not client.exists("")


# Restore


@pytest.mark.parametrize("priority", range(10))
def test_what_is_over_goes_back_to_the_list_of_its_priority_and_is_taken_next(
    client: redis.Redis, priority: int
) -> None:
    raw, other = message(priority=priority), message("other", priority=priority)
    name = list_of("orders", priority)
    push(client, raw, to=name)
    claim(client, name)
    push(client, other, to=name)
    overdue(client)
    assert 1 == back(client)
    assert {name.encode(), b"celery-starts"} == set(client.keys())
    assert [raw, other] == claim(client, name).raws


def test_only_what_is_over_goes_back(client: redis.Redis) -> None:
    over, _ = claim_one(client, lease_us=1)
    running, fence = claim_one(client)
    assert 1 == back(client)
    assert {running.encode(): b"0"}.keys() == set(client.hkeys(keys.UNACKED))
    assert fence == client.zscore(keys.LEASES, running)
    assert {over.encode(): b"0"} == client.hgetall(keys.STARTS)


def test_it_can_be_asked_for_what_is_over_by_more(client: redis.Redis) -> None:
    tag, _ = claim_one(client)
    client.zadd(keys.LEASES, {tag: now_us(client) - 10_000_000})
    assert [0, 1] == [back(client, 60), back(client, 5)]


def test_its_next_start_counts_and_those_counted_before_are_kept(client: redis.Redis) -> None:
    raws = [message("new"), message("old")]
    push(client, *raws)
    claim(client)
    new, old = (tag_of(raw) for raw in raws)
    client.hset(keys.STARTS, old, 2)
    overdue(client)
    assert 2 == back(client)
    assert {new: 0, old: 2} == claim(client).starts


def test_all_that_is_over_goes_back_however_much_it_is(client: redis.Redis) -> None:
    raws = [message(str(n)) for n in range(2 * RESTORE_AT_ONCE + 1)]
    push(client, *raws)
    claim(client, want=1_000)
    overdue(client)
    assert len(raws) == back(client)
    assert sorted(raws) == sorted(client.lrange("orders", 0, -1))
    assert 0 == back(client)


def test_stock_workers_claims_are_left_alone(client: redis.Redis) -> None:
    client.zadd("unacked_index", {"theirs": 1})
    client.hset(keys.UNACKED, "theirs", "[1,2,3]")
    before = everything(client)
    assert 0 == back(client)
    assert before == everything(client)


def test_a_lease_of_nothing_is_cleared_away(client: redis.Redis) -> None:
    client.zadd(keys.LEASES, {"nobody's": 1})
    assert 0 == back(client)
    assert {} == everything(client)


def test_a_queue_may_have_a_quote_in_its_name(client: redis.Redis) -> None:
    push(client, message(), to='or"ders')
    claim(client, 'or"ders')
    overdue(client)
    assert 1 == back(client)
    assert 1 == client.llen('or"ders')


def test_a_header_that_is_called_priority_is_not_its_priority(client: redis.Redis) -> None:
    claim_one(client, message(headers={"priority": 9}))
    overdue(client)
    back(client)
    assert 1 == client.llen("orders")


def test_a_full_redis_gives_back(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        claim_one(client)
        overdue(client)
        full(client)
        assert 1 == back(client)
        assert (1, 0, 1) == (client.llen("orders"), client.zcard(keys.LEASES), client.hlen(keys.STARTS))


# Replay


def test_what_was_replayed_is_no_letter_and_not_replayed_again(client: redis.Redis) -> None:
    push(client, b"unreadable")
    claim(client)
    [(letter, _)] = client.xrange(keys.dead("orders"))
    words = [keys.dead("orders"), "orders", keys.STARTS]
    assert [1, 0] == [REPLAY(client, words, [letter, b"again", ""]) for _ in range(2)]
    assert ([b"again"], 0) == (client.lrange("orders", 0, -1), client.xlen(keys.dead("orders")))
