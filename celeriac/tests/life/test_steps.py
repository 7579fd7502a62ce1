"""What each script writes down of the step that it takes: this and no more; and the step goes on without it."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import claim, committer_of, done, full, letter, message, overdue, push, tag_of

from celeriac.broker import keys
from celeriac.broker.lists import SEPARATOR, STEPS, lists
from celeriac.broker.removal import drop as drop_letters
from celeriac.broker.removal import purge
from celeriac.claim.transport import PUT
from celeriac.dead_letter.letters import find, read
from celeriac.dead_letter.replay import replay
from celeriac.lease.leases import Lease
from celeriac.lease.restore import restore
from celeriac.life.pack import Start, packed, put
from celeriac.life.record import Kind, Record
from celeriac.life.scribe import Scribe
from celeriac.life.unpack import SENT_BEFORE, records
from celeriac.message.frame import frame
from celeriac.outcome.commit import Commit
from celeriac.outcome.committer import Committer
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.publisher import Publisher

pytestmark = pytest.mark.integration

SCRIBE = Scribe("worker@a", 1_000)
HOUR_MS = 3_600_000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def written(client: redis.Redis) -> list[Record]:
    """And forget it."""
    entries: Any = client.xrange(keys.LIFE)
    client.xtrim(keys.LIFE, maxlen=0, approximate=False)  # not deleted: most scripts write where there is a stream
    return [one for entry, fields in entries for one in records(entry, fields)]


def steps(client: redis.Redis) -> list[tuple[Kind, str]]:
    return [(one.kind, one.tag) for one in written(client)]


def outgoing(task_id: str, print_: str = "1") -> Outgoing:
    raw = frame("tasks.x", "orders", [], task_id=task_id, headers={"fingerprint": print_})
    return Outgoing("tasks.x", task_id, "orders", "orders", print_, HOUR_MS, raw)


def worker(client: redis.Redis, *raws: bytes, scribe: Scribe = SCRIBE) -> tuple[Committer, list[str]]:
    """A committer that has claimed these messages, and their tags."""
    client.xadd(keys.LIFE, {"": ""})
    push(client, *raws)
    claimed = claim(client, scribe=scribe)
    committer, tags = committer_of(client, scribe=scribe), [tag_of(raw) for raw in claimed.raws]
    committer.leases.held.update({tag: Lease(str(claimed.fence), "orders") for tag in tags})
    written(client)
    return committer, tags


def test_a_publish_writes_down_what_is_new(client: redis.Redis) -> None:
    publisher = Publisher(client, 3, scribe=Scribe("shop", 1_000))
    publisher.publish(outgoing("a"))
    new, last = outgoing("b"), outgoing("c")
    publisher.publish_all([outgoing("a"), new, outgoing("a"), last])
    found = written(client)
    assert ["a", "b", "c"] == [one.task_id for one in found]
    assert (Kind.PUBLISHED, new.raw[-39:-3].decode(), "shop", "tasks.x") == (
        *(found[1].kind, found[1].tag, found[1].who, found[1].task),
    )
    publisher.publish_all([outgoing("a"), outgoing("b")])
    with pytest.raises(Exception, match="full"):
        publisher.publish(outgoing("d"))
    assert [] == written(client)


def test_a_claim_writes_down_its_tags_by_list_and_the_dead_letters_that_it_leaves(client: redis.Redis) -> None:
    low, bad = lists("orders")[1], b'no message, "id": "bad"'
    raws = [message("a"), message("b")]
    push(client, *raws, bad)
    push(client, slow := message("c", priority=3), to=low)
    claim(client, "orders", low, scribe=SCRIBE)
    found = written(client)
    assert [(Kind.CLAIMED, tag_of(one)) for one in [*raws, slow]] == [(one.kind, one.tag) for one in found[:3]]
    assert [0, 0, 3] == [one.priority for one in found[:3]]
    assert (Kind.DEAD, "bad", "undecodable", "orders") == (
        *(found[3].kind, found[3].task_id, found[3].reason, found[3].queue),
    )
    claim(client, "orders", low, scribe=SCRIBE)
    assert [] == written(client)  # nothing was there


def test_of_two_messages_with_one_tag_one_is_claimed(client: redis.Redis) -> None:
    raw = message("a")
    push(client, raw, raw)
    claim(client, scribe=SCRIBE)
    assert [(Kind.CLAIMED, tag_of(raw)), (Kind.DEAD, "")] == steps(client)


def test_an_outcome_writes_down_what_became_of_each(client: redis.Redis) -> None:
    committer, (first, twin, stale, other) = worker(client, *(message(one) for one in ("a", "a", "b", "c")))
    client.zrem(keys.LEASES, stale)
    client.set(keys.once("c"), "done:other work")
    for tag, task_id in ((first, "a"), (twin, "a"), (stale, "b"), (other, "c")):
        committer.submit(done(tag, task_id))
    committer.commit_all(1.0)
    found = [(Kind.COMMITTED, first), (Kind.REPEATED, twin), (Kind.REFUSED, stale), (Kind.DEAD, other)]
    assert found == steps(client)


def test_messages_that_an_outcome_publishes_are_written_down_only_if_they_are_published(client: redis.Redis) -> None:
    committer, tags = worker(client, message("a"), message("b"))
    client.zrem(keys.LEASES, tags[1])
    for tag in tags:
        commit = Commit(tag, tag, "tasks.x")
        commit.add_child("mail", "raw", (f"of {tag}", f"tag of {tag}", "tasks.mail", {}))
        committer.submit(commit)
    committer.commit_all(1.0)
    committed, child, refused = written(client)
    assert [Kind.COMMITTED, Kind.PUBLISHED, Kind.REFUSED] == [committed.kind, child.kind, refused.kind]
    assert (f"tag of {tags[0]}", tags[0], tags[0], "mail", "tasks.mail") == (
        *(child.tag, child.parent_id, child.root_id, child.queue, child.task),
    )


def test_what_is_sent_again_after_a_lost_answer_says_so(client: redis.Redis) -> None:
    committer, (tag,) = worker(client, message("a"))
    committer.submit(done(tag))
    committer.flush()
    committer.connection.broke()  # Redis has done it, and nobody hears the answer
    committer.connection._away_until = 0.0
    committer.commit_all(1.0)
    committed, again = written(client)
    assert (Kind.COMMITTED, Kind.REFUSED, SENT_BEFORE) == (committed.kind, again.kind, again.reason)


def test_a_start_that_counts_is_written_down(client: redis.Redis) -> None:
    committer, (tag,) = worker(client, message("a"))
    committer.leases.started(tag)
    committer.leases.started(tag, by=-1, told=False)
    assert [(Kind.STARTED, tag)] == steps(client)
    client.zrem(keys.LEASES, tag)
    committer.leases.started(tag)
    assert [] == written(client)


def test_a_body_that_runs_long_is_written_down_also_where_no_state_is_stored(client: redis.Redis) -> None:
    committer, (tag,) = worker(client, message("a"))
    committer.show(tag, "a", "", b"", 0, packed(Start("worker@a", tag, "a", "tasks.x", 200_000)))
    (started,) = written(client)
    assert (Kind.STARTED, tag, "a") == (started.kind, started.tag, started.task_id)
    assert started.since == pytest.approx(started.at - 0.2)


def test_what_goes_back_says_why(client: redis.Redis) -> None:
    committer, (first, second) = worker(client, message("a"), message("b"))
    committer.leases.release([first], why="there is a reason")
    committer.leases.release([second], started=True)
    reasons = [(Kind.RETURNED, first, "there is a reason"), (Kind.RETURNED, second, "its worker ends because of it")]
    assert reasons == [(one.kind, one.tag, one.reason) for one in written(client)]


def test_what_the_lease_of_a_dead_worker_gives_back_is_written_down(client: redis.Redis) -> None:
    _, (tag,) = worker(client, message("a"))
    overdue(client)
    restore(client, SEPARATOR, STEPS)
    (returned,) = written(client)
    assert (Kind.RETURNED, tag, "its lease is over") == (returned.kind, returned.tag, returned.reason)


def test_a_dead_letter_that_is_replayed_or_dropped_is_written_down(client: redis.Redis) -> None:
    committer, tags = worker(client, message("a"), message("b"))
    for tag in tags:
        committer.submit(letter(tag))
    committer.commit_all(1.0)
    assert [(Kind.DEAD, tag) for tag in tags] == steps(client)
    first, second = read(client)
    whole = find(client, first.id)
    assert whole is not None
    assert replay(client, whole)
    assert not replay(client, whole)
    (replayed,) = written(client)
    assert (Kind.REPLAYED, "a", tag_of(client.lindex("orders", 0))) == (  # type: ignore[arg-type]  # bytes
        *(replayed.kind, replayed.task_id, replayed.tag),
    )
    assert 1 == drop_letters(client, keys.dead("orders"), [second.id.partition("/")[2]])
    (dropped,) = written(client)
    assert (Kind.DROPPED, "b", tags[1], "orders") == (*(dropped.kind, dropped.task_id, dropped.tag, dropped.queue),)


def test_a_purge_says_how_many(client: redis.Redis) -> None:
    worker(client, message("claimed"))
    push(client, message("a"), message("b"))
    assert 2 == purge(client, lists("orders"))
    (dropped,) = written(client)
    assert (Kind.DROPPED, "orders", "2") == (dropped.kind, dropped.queue, dropped.note)


def test_what_celery_publishes_is_pushed_and_written_down(client: redis.Redis) -> None:
    PUT(client, ["orders"], ["raw", 1_000, put("here", "orders", ("a", "its tag", "tasks.x", {}), 0)])
    assert [b"raw"] == client.lrange("orders", 0, -1)
    assert [(Kind.PUBLISHED, "its tag")] == steps(client)


def whole_life(client: redis.Redis, scribe: Scribe) -> None:
    """Every script takes its step."""
    assert Publisher(client, 0, scribe=scribe).publish(outgoing("a"))
    PUT(client, ["orders"], [message("b"), scribe.length, b""])
    claimed = claim(client, scribe=scribe)
    committer, tags = committer_of(client, scribe=scribe), [tag_of(raw) for raw in claimed.raws]
    committer.leases.held.update({tag: Lease(str(claimed.fence), "orders") for tag in tags})
    assert 1 == committer.leases.started(tags[0])[0]
    committer.show(tags[0], "a", "meta", b"STARTED", 60, b"a record" if scribe.length else b"")
    assert b"STARTED" == client.get("meta")
    committer.submit(letter(tags[0]))
    committer.commit_all(1.0)
    assert 1 == committer.counters.committed
    assert 1 == committer.leases.release([tags[1]])
    claim(client, scribe=scribe)
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    (dead,) = read(client)
    whole = find(client, dead.id)
    assert whole is not None
    assert replay(client, whole)
    assert 2 == purge(client, lists("orders"))


def test_every_step_is_taken_where_redis_refuses_the_record(client: redis.Redis) -> None:
    client.set(keys.LIFE, "somebody else's")
    whole_life(client, SCRIBE)
    assert b"somebody else's" == client.get(keys.LIFE)


def test_nothing_is_written_down_where_that_is_switched_off(client: redis.Redis) -> None:
    Publisher(client, 0).publish(outgoing("a"))
    claimed, committer = claim(client), committer_of(client)
    tag = tag_of(claimed.raws[0])
    committer.leases.held[tag] = Lease(str(claimed.fence), "orders")
    committer.submit(letter(tag))
    committer.commit_all(1.0)
    (dead,) = read(client)
    whole = find(client, dead.id)
    assert whole is not None
    assert replay(client, whole)
    purge(client, lists("orders"))
    assert not client.exists(keys.LIFE)


def test_a_full_redis_takes_outcomes_with_their_records(client: redis.Redis) -> None:
    committer, (tag,) = worker(client, message("a"))
    full(client)
    try:
        committer.submit(Commit(tag, "a"))
        committer.commit_all(1.0)
        assert 0 == client.hlen(keys.UNACKED)
        found: Any = client.xrange(keys.LIFE)
        assert 1 == len(found)
    finally:
        client.config_set("maxmemory", 0)


def test_the_stream_has_as_many_entries_as_the_setting_says(client: redis.Redis) -> None:
    scribe = Scribe("worker@a", 100)
    for number in range(400):
        push(client, message(f"{number}"))
        claim(client, want=1, scribe=scribe)
    assert 100 <= client.xlen(keys.LIFE) <= 200  # Redis removes whole pieces
