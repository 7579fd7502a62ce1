"""What is told of a message is told once Redis has it: to the log, to listeners, to hooks. Else it is not told."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
import redis
from celeriac.tests.life.world import dead, done, effects, holding, letter, message, overdue
from celery.app.task import Context
from celery.backends.redis import RedisBackend

from celeriac import events
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.outcome import committer as module
from celeriac.outcome.commit import HOME, OPEN, Commit, NotCommitted, Verdict, commit_now, opened
from celeriac.publish import announcement as announcing

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is finished is sent when the test says so."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", math.inf)


def test_what_follows_a_commit_follows_it(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    commit, seen = done(tag), []
    commit.then(lambda: seen.append((effects(client), client.hlen(keys.UNACKED))))
    committer.submit(commit)
    assert [] == seen
    assert committer.commit_all(5)
    assert [(1, 0)] == seen


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_whatever_a_callback_or_a_listener_raises_the_next_one_is_told(
    error: type[BaseException], client: redis.Redis, told: Any
) -> None:
    def fails(*_: Any) -> None:
        raise error

    committer, tags = holding(client, message("a"), message("b"))
    first, second = Commit(tags[0], "a"), Commit(tags[1], "b")
    first.then(fails)
    second.then(lambda: events.transition("task.succeeded", task_id="b"))
    events._listeners.insert(0, fails)
    for commit in (first, second):
        committer.submit(commit)
    assert committer.commit_all(5)
    events.ignore(fails)
    assert [("task.succeeded", {"task_id": "b"})] == told


def test_it_follows_at_once_where_the_commit_is_known_already(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    commit, seen = done(tag), []
    assert Verdict.COMMITTED is committer.commit(commit)
    commit.then(lambda: seen.append(1))
    assert [1] == seen


def test_nothing_follows_what_is_refused_and_whoever_listens_hears_of_that(client: redis.Redis, told: Any) -> None:
    committer, (tag,) = holding(client, message())
    overdue(client)
    commit, seen = done(tag), []
    commit.then(lambda: seen.append(1))
    assert Verdict.REFUSED is committer.commit(commit)
    assert [] == seen
    assert [("outcome.refused", "a")] == [(event, fields["task_id"]) for event, fields in told]


def test_nothing_follows_what_was_done_before(client: redis.Redis, told: Any) -> None:
    client.set(keys.once("a"), "done:1")
    committer, (tag,) = holding(client, message())
    commit, seen = done(tag), []
    commit.then(lambda: seen.append(1))
    assert Verdict.REPEATED is committer.commit(commit)
    assert ([], ["outcome.repeated"]) == (seen, [event for event, _ in told])


def test_a_conflict_is_told_as_the_letter_that_it_becomes(client: redis.Redis, told: Any) -> None:
    client.set(keys.once("a"), "done:other")
    committer, (tag,) = holding(client, message())
    assert Verdict.IMPOSSIBLE is committer.commit(done(tag))
    assert committer.commit_all(5)
    assert [("task.dead", "conflict")] == [(event, fields["reason"]) for event, fields in told]
    assert ["conflict"] == [about["reason"] for _, about in dead(client)]


def test_what_nobody_holds_any_more_is_refused(client: redis.Redis) -> None:
    committer, _ = holding(client)
    assert Verdict.REFUSED is committer.commit(done("unknown"))


def test_a_listener_that_fails_stops_nobody(client: redis.Redis, told: Any) -> None:
    def breaks(event: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("no")

    committer, tags = holding(client, message("a"), message("b"))
    commits = [done(tag, name) for tag, name in zip(tags, "ab", strict=True)]
    for commit in commits:
        commit.then(lambda: events.transition("task.succeeded"))
    commits[0].then(lambda: 1 / 0)
    events._listeners.insert(0, breaks)
    try:
        for commit in commits:
            committer.submit(commit)
        assert committer.commit_all(5)
    finally:
        events.ignore(breaks)
    assert ["task.succeeded", "task.succeeded"] == [event for event, _ in told]


def test_who_is_told_may_commit_more(client: redis.Redis) -> None:
    """It is called without the committer's lock, from whatever thread."""
    committer, (first, second) = holding(client, message("a"), message("b"))
    ended: list[Verdict] = []

    def more() -> None:
        other = threading.Thread(target=lambda: ended.append(committer.commit(done(second, "b"))))
        other.start()
        other.join(5)

    commit = done(first, "a")
    commit.then(more)
    committer.submit(commit)
    assert committer.commit_all(5)
    assert [Verdict.COMMITTED] == ended


def test_an_outcome_that_somebody_waits_for_waits_for_redis(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port, socket_timeout=0.2) as client:
        committer, (tag,) = holding(client, message())
        redis_to_break.pause()
        ended: list[Verdict] = []
        thread = threading.Thread(target=lambda: ended.append(committer.commit(letter(tag))))
        thread.start()
        thread.join(0.5)
        assert [] == ended
        redis_to_break.resume()
        thread.join(10)
        assert ended in ([Verdict.COMMITTED], [Verdict.REFUSED])  # refused: the answer to the first attempt was lost
        assert 1 == len(dead(client))


def test_a_commit_before_hooks_ends_what_is_open(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    committer, (tag,) = holding(client, message())
    monkeypatch.setattr(HOME, "committer", committer)
    with opened(done(tag)):
        commit_now()
        assert (None, None, 1) == (OPEN.commit, OPEN.own, effects(client))


def test_what_does_not_count_ends_there(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    committer, (tag,) = holding(client, message())
    overdue(client)
    monkeypatch.setattr(HOME, "committer", committer)
    with opened(done(tag)), pytest.raises(NotCommitted):
        commit_now()
    assert OPEN.commit is None


def test_a_chord_is_told_only_by_who_holds_its_part(client: redis.Redis, told: Any) -> None:
    committer, (first, second) = holding(client, message("a"), message("b"))
    mine, other = (Commit(tag, name) for tag, name in ((first, "a"), (second, "b")))
    for commit in (mine, other):
        commit.result_key, commit.result, commit.result_seconds = f"meta-{commit.task_id}", "end", 60
    assert committer.store(mine)
    client.zadd(keys.LEASES, {second: 1})
    assert not committer.store(other)
    assert ([b"end", None], Verdict.REFUSED) == (client.mget("meta-a", "meta-b"), other.verdict)
    assert second not in committer.leases.held
    assert ["outcome.refused"] == [event for event, _ in told]


@pytest.mark.parametrize("ours", [True, False])
def test_the_rest_of_a_chain_and_its_chord_hear_of_a_failure_only_from_who_holds_the_message(
    ours: bool, client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer, (tag,) = holding(client, message("a"))
    monkeypatch.setattr(HOME, "committer", committer)
    body = {"task": "tasks.y", "options": {"task_id": "body"}, "chord_size": 2}
    last = {"task": "tasks.x", "options": {"task_id": "last", "group_id": "group", "chord": body}}
    seen: list[Any] = []
    with make_app("test", CelerySettings(broker_url=redis_url)) as app:
        app.conf.result_expires = None
        monkeypatch.setattr(
            RedisBackend, "on_chord_part_return", lambda *given, **more: seen.append(client.get("celery-task-meta-a"))
        )
        if not ours:
            overdue(client)
        with opened(Commit(tag, "a")), suppress(NotCommitted):
            app.backend.mark_as_failure("a", ValueError("no"), request=Context({"id": "a", "chain": [last]}))
    told_of = client.mget("celery-task-meta-a", "celery-task-meta-last")
    assert ([ours, ours], ours) == ([one is not None for one in told_of], seen == [told_of[0]])


@pytest.mark.parametrize("lost", [False, True])
def test_what_a_task_publishes_is_told_when_the_task_is_committed(client: redis.Redis, told: Any, lost: bool) -> None:
    committer, (tag,) = holding(client, message())
    commit = done(tag)
    with opened(commit):
        announcing._log("task.published", "tasks.child", "b", "mail", "c-1")
    assert [] == told
    if lost:
        overdue(client)
    committer.commit(commit)
    assert ["outcome.refused" if lost else "task.published"] == [event for event, _ in told]
