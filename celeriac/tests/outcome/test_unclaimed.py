"""An outcome without a claim (prefork, solo, stock) against a real Redis, over a line that loses what it is told to
lose: it is kept until Redis takes it, and happens once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import impatient
from celeriac.tests.life.world import children, dead, done, effects, everything, full, letter, message
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.broker import keys
from celeriac.errors import PermanentError
from celeriac.life.scribe import SILENT
from celeriac.message.frame import frame
from celeriac.outcome import unclaimed as direct
from celeriac.outcome.commit import Commit, packed
from celeriac.outcome.unclaimed import OUTCOME, commit_unclaimed, publish_ahead

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def far(line: Any) -> Any:
    """An app on the far side of the line; Redis there knows the script."""
    app = worker_at(line.port)
    app.unclaimed_client.script_load(OUTCOME.text)
    return app


def worker_at(port: int, seconds: float = 0.3) -> Any:
    """An app that gives up soon."""
    OPENED.append(impatient(port, seconds))
    return SimpleNamespace(unclaimed_client=OPENED[-1], scribe=SILENT)


OPENED: list[redis.Redis] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def plain(task_id: str = "a") -> Commit:
    """Without a record."""
    return done("", task_id, record=False)


def marks(client: redis.Redis) -> list[bytes]:
    return client.keys(f"{keys.UNCLAIMED}*")


@contextmanager
def later(seconds: float, what: Callable[[], Any]) -> Iterator[None]:
    timer = threading.Timer(seconds, what)
    timer.start()
    yield
    timer.join()


def recorded_letter() -> Commit:
    commit = letter("")
    commit.record_key = keys.once("a")
    return commit


ENDS = {
    "a record": lambda: done(""),
    "no record": plain,
    "a letter": lambda: letter(""),
    "a letter where a record may be": recorded_letter,
}


def happened(client: redis.Redis, commit: Commit) -> bool:
    """All of it, once."""
    if commit.dead_about:
        return [message_] == [raw for raw, _ in dead(client)]
    return (1, 1) == (effects(client), children(client))


message_ = message()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_it_is_one_step_and_leaves_nothing_behind_but_what_it_wanted(
    client: redis.Redis, line: Any, end: Callable[[], Commit]
) -> None:
    app = far(line)
    commit = end()
    assert commit_unclaimed(app, commit, message_)
    assert happened(client, commit)
    assert not client.exists(keys.LEASES, keys.UNACKED)
    assert [] == marks(client)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("times", [1, 3])
def test_where_the_answer_is_lost_it_happens_once(
    client: redis.Redis, line: Any, end: Callable[[], Commit], times: int
) -> None:
    app = far(line)
    commit = end()
    line.lose_answers(times)
    commit_unclaimed(app, commit, message_)
    assert happened(client, commit)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_where_the_request_is_lost_it_happens_all_the_same(
    client: redis.Redis, line: Any, end: Callable[[], Commit]
) -> None:
    app = far(line)
    commit = end()
    line.lose_requests(2)
    assert commit_unclaimed(app, commit, message_)
    assert happened(client, commit)


def test_where_an_attempt_is_still_on_its_way_the_mark_of_the_next_one_stays_for_a_day(
    client: redis.Redis, line: Any
) -> None:
    app = far(line)
    line.lose_answers(1)
    commit = plain()
    commit_unclaimed(app, commit)
    words = [packed([1, *commit.arguments(direct.NO_CLAIM)]), 0, ""]
    assert [[commit.tag.encode()], [], []] == OUTCOME(client, [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE], words)
    assert (1, 1) == (effects(client), children(client))
    assert 86_000 < client.ttl(marks(client)[0]) <= 86_400


def test_a_redis_that_says_nothing_is_waited_for(redis_to_break: Any) -> None:
    app = worker_at(redis_to_break.port, 0.1)
    redis_to_break.pause()
    with later(0.5, redis_to_break.resume):
        commit_unclaimed(app, plain())
    with redis.Redis(port=redis_to_break.port) as client:
        assert (1, 1) == (effects(client), children(client))


def test_a_redis_that_starts_anew_gets_it_though_it_knows_nothing_of_it(redis_to_break: Any) -> None:
    app = worker_at(redis_to_break.port)
    app.unclaimed_client.ping()
    redis_to_break.stop()
    with later(0.5, redis_to_break.start):
        commit_unclaimed(app, plain())
    with redis.Redis(port=redis_to_break.port) as client:
        assert (1, 1) == (effects(client), children(client))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_full_redis_takes_it(redis_to_break: Any, end: Callable[[], Commit]) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        commit = end()
        full(client)
        commit_unclaimed(worker_at(redis_to_break.port), commit, message_)
        assert happened(client, commit)


def busy(client: redis.Redis) -> Callable[[], Any]:
    """A script of somebody else's that does not end."""
    client.config_set("busy-reply-threshold", 1)
    endless = worker_at(client.connection_pool.connection_kwargs["port"], 30).unclaimed_client
    threading.Thread(target=lambda: swallow(lambda: endless.eval("while true do end", 0)), daemon=True).start()
    time.sleep(0.2)
    return lambda: client.execute_command("SCRIPT", "KILL")


def swallow(what: Callable[[], Any]) -> None:
    try:
        what()
    except redis.RedisError:
        return


def no_replica(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("min-replicas-to-write", 1)
    return lambda: client.config_set("min-replicas-to-write", 0)


def replica(client: redis.Redis) -> Callable[[], Any]:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def no_disk(client: redis.Redis) -> Callable[[], Any]:
    """A folder where its file should be: it cannot save, and says so."""
    Path(client.config_get("dir")["dir"], "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    client.set("x", 1)
    client.bgsave()
    deadline = time.monotonic() + 5
    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return lambda: client.config_set("stop-writes-on-bgsave-error", "no")


def strange(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("requirepass", "secret")
    return lambda: client.config_set("requirepass", "")


@pytest.mark.parametrize("trouble", [busy, no_replica, replica, no_disk, strange])
def test_a_refusal_that_passes_is_waited_for(
    redis_to_break: Any, trouble: Callable[[redis.Redis], Callable[[], Any]]
) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        client.ping()
        commit = plain()
        over = trouble(client)
        with later(0.4, over):
            commit_unclaimed(worker_at(redis_to_break.port), commit)
        assert (1, 1) == (effects(client), children(client))


def test_after_a_script_flush_everything_goes_on(client: redis.Redis, line: Any) -> None:
    app = far(line)
    client.script_flush()
    assert commit_unclaimed(app, plain())
    assert (1, 1) == (effects(client), children(client))


def test_a_second_run_is_told_that_it_was_done_and_nothing_of_it_happens(client: redis.Redis, line: Any) -> None:
    app = far(line)
    assert commit_unclaimed(app, done(""))
    assert not commit_unclaimed(app, done(""))
    assert not commit_unclaimed(app, recorded_letter(), message_)
    assert (1, 1, []) == (effects(client), children(client), dead(client))


def test_what_has_a_record_looks_at_no_mark(client: redis.Redis, line: Any) -> None:
    client.set("", "a key of somebody else's, without a name")
    assert commit_unclaimed(far(line), done(""))
    assert (1, 1) == (effects(client), children(client))


def test_two_of_them_without_a_record_are_two(client: redis.Redis, line: Any) -> None:
    app = far(line)
    assert commit_unclaimed(app, plain())
    assert commit_unclaimed(app, plain())
    assert (2, 2) == (effects(client), children(client))


def wrong_type(client: redis.Redis) -> Commit:
    client.set("effects", "text")
    return plain()


def no_rights(client: redis.Redis) -> Commit:
    client.execute_command("ACL", "SETUSER", "default", "-evalsha")
    return plain()


def no_word(client: redis.Redis) -> Commit:
    commit = plain()
    commit.effects = [("SET", "x", object())]
    return commit


def conflict(client: redis.Redis) -> Commit:
    client.set(keys.once("a"), "done:other")
    return done("")


@pytest.mark.parametrize("wrong", [wrong_type, no_rights, no_word, conflict])
def test_what_redis_will_never_take_is_told_at_once(
    redis_to_break: Any, wrong: Callable[[redis.Redis], Commit]
) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        commit = wrong(client)
        before = everything(client)
        with pytest.raises(PermanentError):
            commit_unclaimed(worker_at(redis_to_break.port), commit)
        assert before == everything(client)


@pytest.fixture
def limit() -> Iterator[Callable[[float], None]]:
    """Raises as the prefork pool's does, in this thread, wherever it is."""

    def over(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    was = signal.signal(signal.SIGALRM, over)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, was)


@pytest.mark.parametrize("seconds", [0.02, 0.15, 0.45, 0.7])
def test_a_soft_limit_comes_too_late_for_a_body_that_has_ended(
    redis_to_break: Any, limit: Callable[[float], None], seconds: float
) -> None:
    """While it waits for an answer, and between two attempts."""
    app = worker_at(redis_to_break.port, 0.1)
    redis_to_break.pause()
    with later(0.8, redis_to_break.resume):
        limit(seconds)
        commit_unclaimed(app, plain())
    with redis.Redis(port=redis_to_break.port) as client:
        assert (1, 1) == (effects(client), children(client))
    assert app.unclaimed_client.echo("in step") == b"in step"


def test_a_soft_limit_that_comes_with_the_answer_does_it_once_and_leaves_no_answer_for_the_next(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = far(line)
    real, limits = type(OUTCOME).__call__, iter([True])

    def sent(script: Any, *args: Any) -> Any:
        answer = real(script, *args)
        if next(limits, False):
            raise SoftTimeLimitExceeded
        return answer

    monkeypatch.setattr(type(OUTCOME), "__call__", sent)
    commit_unclaimed(app, plain())
    assert (1, 1) == (effects(client), children(client))
    assert 1 == len(marks(client))


def test_a_body_that_sends_ahead_hears_of_its_limit_and_of_a_redis_that_stays_away(
    redis_to_break: Any, limit: Callable[[float], None]
) -> None:
    app = worker_at(redis_to_break.port, 0.1)
    commit = Commit("tag", "a")
    commit.add_child("mail", b"x")
    redis_to_break.pause()
    limit(0.3)
    with pytest.raises(SoftTimeLimitExceeded):
        publish_ahead(app, commit)
    with pytest.raises(redis.exceptions.TimeoutError):
        publish_ahead(app, commit)
    assert 2 == len(commit.children)
    redis_to_break.resume()


def test_what_is_sent_ahead_is_sent_once_where_the_answer_is_lost(client: redis.Redis, line: Any) -> None:
    app = far(line)
    commit = Commit("tag", "a")
    commit.add_child("mail", b"x")
    commit.add_due("mail", b"y", 60_000_000)
    line.lose_answers(1)
    publish_ahead(app, commit)
    assert (1, 1, (), ()) == (children(client), client.zcard(keys.DUE), commit.children, commit.due)


def test_a_thread_sends_ahead_what_leads_to_its_task_and_nothing_else(client: redis.Redis) -> None:
    app = worker_at(client.connection_pool.connection_kwargs["port"])
    mine, later, other, ended = (Commit("tag", name) for name in "mloe")
    mine.add_child("mail", message("wanted"))
    # What a chain goes on with stands in the body.
    later.add_due("mail", frame("tasks.x", "mail", [{"task_id": "wanted"}], task_id="first"), 60_000_000)
    other.add_child("mail", message("another"))
    ended.add_child("mail", message("wanted"))
    ended.seal()
    direct.publish_ahead_of(app, [mine, later, other, ended], "wanted")
    assert (1, 1) == (children(client), client.zcard(keys.DUE))
    assert ((), (), 2, 2) == (mine.children, later.due, len(other.children), len(ended.children))


def test_the_log_tells_of_a_wait_of_some_seconds_and_not_of_a_connection_that_was_cut(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = far(line)
    now = [100.0]
    monkeypatch.setattr(direct, "monotonic", lambda: now[0])

    def slept(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(direct, "sleep", slept)
    line.lose_requests(1)
    commit_unclaimed(app, plain())
    assert "outcome.waits" not in caplog.text
    line.lose_requests(25)
    commit_unclaimed(app, plain())
    assert 2 == caplog.text.count("outcome.waits")
