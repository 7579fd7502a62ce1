"""The committer against a real Redis over a line that loses what it is told to lose."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import impatient
from celeriac.tests.life.world import (
    children,
    claim,
    committer_of,
    dead,
    done,
    effects,
    full,
    holding,
    letter,
    message,
    overdue,
    push,
    tag_of,
)

from celeriac.broker import connection, keys
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.lease import leases
from celeriac.lease.leases import Lease
from celeriac.lease.restore import restore
from celeriac.lease.starts import PROVEN
from celeriac.outcome import committer as module
from celeriac.outcome.commit import Commit
from celeriac.outcome.committer import OUTCOME, Committer

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other closely, and what is finished is sent when the test says so."""
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "FLUSH_SECONDS", math.inf)


def over(line: Any, client: redis.Redis, *raws: bytes, patience: float = 0.3) -> tuple[Committer, list[str]]:
    """A committer on the far side of the line, that holds these messages."""
    client.script_load(OUTCOME.text)
    near, tags = holding(client, *raws)
    far = committer_of(impatient(line.port, patience))
    far.leases.held.update(near.leases.held)
    return far, tags


def counted(committer: Committer) -> tuple[int, int, int]:
    return committer.counters.committed, committer.counters.refused, committer.counters.repeated


# Sending


def test_what_is_finished_is_committed_in_one_script(client: redis.Redis) -> None:
    committer, tags = holding(client, *[message(str(n)) for n in range(20)])
    calls = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    for number, tag in enumerate(tags):
        committer.submit(done(tag, str(number)))
    assert committer.commit_all(5)
    assert calls + 2 >= client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert ((20, 0, 0), 20) == (counted(committer), children(client))
    assert not client.exists(keys.UNACKED, keys.LEASES)
    assert {} == committer.leases.held


def test_a_finished_task_waits_for_others_only_a_few_milliseconds(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.005)
    client.script_load(OUTCOME.text)  # or the first batch would be sent again, before all others
    committer, (first, second, third) = holding(client, *[message(name) for name in "abc"])
    committer.submit(done(first, "a"))
    committer.submit(done(second, "b"))
    assert 1 == len(committer._done)
    time.sleep(0.006)
    committer.submit(done(third, "c"))
    assert 0 == len(committer._done)


def test_the_first_outcome_on_a_new_server_needs_no_second_call(client: redis.Redis) -> None:
    client.script_flush()
    committer, (tag,) = holding(client, message("a"))
    committer.submit(done(tag, "a"))
    committer.flush()
    wait_until(lambda: children(client) == 1)  # nobody has read an answer yet


def test_no_batch_is_larger_than_a_script_may_be(client: redis.Redis) -> None:
    committer, tags = holding(client, *[message(str(n)) for n in range(100)])
    for tag in tags:
        commit = Commit(tag)
        commit.add_child("mail", b"x" * 20_000)
        committer.submit(commit)
    assert 50 == len(committer._next_batch())
    committer.leases.held.update({str(n): Lease(1, "orders") for n in range(module.MOST_COMMITS + 1)})
    committer._done.clear()
    committer._done.extend(Commit(str(n)) for n in range(module.MOST_COMMITS + 1))
    assert module.MOST_COMMITS == len(committer._next_batch())


def retry(tag: str) -> Commit:
    commit = Commit(tag)
    commit.add_due("orders", b"x" * 20_000, 1)
    return commit


def large_effect(tag: str) -> Commit:
    commit = Commit(tag)
    commit.effects = [("SET", "x", "y" * 20_000)]
    return commit


def small_effects(tag: str) -> Commit:
    """Their number is what takes time."""
    commit = Commit(tag)
    commit.effects = [("INCRBY", "x", 1)] * 450
    return commit


def large_letter(tag: str) -> Commit:
    commit = Commit(tag)
    commit.bury("celery-dead-orders", "x" * 20_000)
    return commit


@pytest.mark.parametrize("end", [retry, large_effect, small_effects, large_letter])
def test_the_size_of_a_batch_is_of_all_that_is_in_it(client: redis.Redis, end: Callable[[str], Commit]) -> None:
    committer, tags = holding(client, *[message(str(n)) for n in range(100)])
    for tag in tags:
        committer.submit(end(tag))
    assert 40 < len(committer._next_batch()) < 60


def test_what_came_from_nowhere_is_refused_and_not_sent(client: redis.Redis) -> None:
    committer, _ = holding(client)
    committer.submit(done("unknown"))
    assert committer.commit_all(5)
    assert ((0, 1, 0), 0) == (counted(committer), effects(client))


def test_of_two_ends_of_one_message_the_first_counts(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    committer.submit(done(tag, record=False))
    committer.submit(done(tag, record=False))
    assert committer.commit_all(5)
    assert ((1, 1, 0), 1, 1) == (counted(committer), effects(client), children(client))


# Lost answers


def test_where_the_answer_is_lost_the_outcome_is_sent_again_and_has_its_effect_once(
    client: redis.Redis, line: Any
) -> None:
    committer, tags = over(line, client, *[message(name) for name in "abc"])
    line.lose_answers(1)
    for tag, name in zip(tags, "abc", strict=True):
        committer.submit(done(tag, name, record=False))
    assert committer.commit_all(5)
    assert [1, 1, 1] == [effects(client, name) for name in "abc"]
    assert (3, (0, 3, 0)) == (children(client), counted(committer))
    assert not client.exists(keys.UNACKED, keys.LEASES)


def test_where_the_request_is_lost_the_outcome_is_sent_again(client: redis.Redis, line: Any) -> None:
    committer, (tag,) = over(line, client, message())
    line.lose_requests(2)
    committer.submit(done(tag))
    assert committer.commit_all(5)
    assert ((1, 0, 0), 1) == (counted(committer), effects(client))


def test_where_redis_says_nothing_the_outcome_is_sent_again(client: redis.Redis, line: Any) -> None:
    committer, (tag,) = over(line, client, message())
    lost = iter([b""])
    line.answers = lambda piece: next(lost, piece)
    committer.submit(done(tag, record=False))
    assert committer.commit_all(5)
    assert 1 == effects(client)


@pytest.mark.parametrize("cut_after", [0, 50, 400, 800, 1_200])
def test_a_request_cut_in_the_middle_is_sent_again(client: redis.Redis, line: Any, cut_after: int) -> None:
    committer, tags = over(line, client, *[message(str(n)) for n in range(10)])
    for number, tag in enumerate(tags):
        committer.submit(done(tag, str(number), record=False))
    committer.connection.open()
    seen, cut = [0], [False]

    def requests(piece: bytes) -> bytes | str:
        seen[0] += len(piece)
        if not cut[0] and seen[0] > cut_after:
            cut[0] = True
            return "cut"
        return piece

    line.requests = requests
    assert committer.commit_all(5)
    assert cut[0]
    assert [1] * 10 == [effects(client, str(number)) for number in range(10)]
    assert 10 == children(client)


def test_an_outcome_of_unknown_fate_goes_before_what_was_finished_later(client: redis.Redis, line: Any) -> None:
    committer, (first, second) = over(line, client, message("a"), message("b"))
    line.lose_requests(1)
    committer.submit(done(first, "a"))
    committer.flush()
    committer.read_answers()
    committer.submit(done(second, "b"))
    assert committer.commit_all(5)
    assert [b"child of a", b"child of b"] == client.lrange("mail", 0, -1)[::-1]


# Several calls under way


def hold(line: Any) -> threading.Event:
    """From here on answers wait on the line until this is set."""
    let_on = threading.Event()

    def answers(piece: bytes) -> bytes:
        let_on.wait(10)  # not asserted: after a test that failed first, it would make a later one red
        return piece

    line.answers = answers
    return let_on


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def sent(client: redis.Redis, line: Any, names: str) -> tuple[Committer, threading.Event]:
    """Each outcome is in a call of its own, and Redis has committed it; the answers wait on the line."""
    committer, tags = over(line, client, *[message(name) for name in names])
    committer.connection.open()
    let_on = hold(line)
    for number, (tag, name) in enumerate(zip(tags, names, strict=True), 1):
        committer.submit(done(tag, name, record=False))
        committer.flush()
        wait_until(lambda number=number: children(client) == number)
    return committer, let_on


def once_each(client: redis.Redis, names: str) -> bool:
    return [1] * len(names) == [effects(client, name) for name in names] and children(client) == len(names)


def in_order(client: redis.Redis) -> str:
    """Of which messages the children are, the first one first."""
    return "".join(child.decode()[-1] for child in client.lrange("mail", 0, -1)[::-1])


def test_nobody_waits_for_an_answer_while_few_calls_are_under_way(client: redis.Redis, line: Any) -> None:
    committer, let_on = sent(client, line, "abcd")
    assert module.MOST_CALLS == len(committer._under_way)
    assert not committer.everything_committed
    let_on.set()
    assert committer.commit_all(5)
    assert ((4, 0, 0), True) == (counted(committer), once_each(client, "abcd"))


def test_whoever_sends_more_waits_for_the_oldest_answer(client: redis.Redis, line: Any) -> None:
    committer, let_on = sent(client, line, "abcd")
    push(client, message("e"))
    claimed = claim(client)
    tag = tag_of(claimed.raws[0])
    committer.leases.held[tag] = Lease(claimed.fence, "orders")
    committer.submit(done(tag, "e"))
    sender = threading.Thread(target=committer.flush)
    sender.start()
    sender.join(0.1)
    assert (True, 4) == (sender.is_alive(), children(client))
    let_on.set()
    sender.join(5)
    assert module.MOST_CALLS >= len(committer._under_way)
    assert committer.commit_all(5)
    assert ((5, 0, 0), True) == (counted(committer), once_each(client, "abcde"))


def test_an_answer_that_has_arrived_is_read_with_the_next_call(client: redis.Redis) -> None:
    client.script_load(OUTCOME.text)
    committer, (first, second) = holding(client, message("a"), message("b"))
    committer.submit(done(first, "a"))
    committer.flush()
    wait_until(lambda: committer.connection.arrived)
    committer.submit(done(second, "b"))
    committer.flush()
    assert (1, 1) == (committer.counters.committed, len(committer._under_way))


@pytest.mark.parametrize("heard", range(4))
def test_where_redis_has_heard_only_the_first_calls_all_are_sent_again_in_their_order(
    client: redis.Redis, line: Any, heard: int
) -> None:
    committer, tags = over(line, client, *[message(name) for name in "abc"])
    committer.connection.open()
    line.answers = lambda piece: b""
    for number, (tag, name) in enumerate(zip(tags, "abc", strict=True)):
        if number == heard:
            line.requests = lambda piece: b""
        committer.submit(done(tag, name, record=False))
        committer.flush()
        if number < heard:
            wait_until(lambda number=number: children(client) == number + 1)
    assert 3 == len(committer._under_way)
    time.sleep(0.02)  # what was sent is lost by now
    line.requests = line.answers = lambda piece: piece
    assert committer.commit_all(5)
    assert ("abc", True) == (in_order(client), once_each(client, "abc"))
    assert (3 - heard, heard, 0) == counted(committer)


@pytest.mark.parametrize("answered", range(4))
def test_a_line_that_breaks_between_two_answers_loses_and_doubles_nothing(
    client: redis.Redis, line: Any, answered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.BrokerConnection, "arrived", False)
    committer, tags = over(line, client, *[message(name) for name in "abcd"])
    committer.connection.open()
    passed: list[bytes] = []
    line.answers = lambda piece: passed.append(piece) or piece
    for number, (tag, name) in enumerate(zip(tags, "abcd", strict=True)):
        if number == answered:
            wait_until(lambda: b"".join(passed).count(b"*3") == answered)  # each is three lists
            line.answers = lambda piece: "cut"
        committer.submit(done(tag, name, record=False))
        committer.flush()
        wait_until(lambda number=number: children(client) > number or number > answered)
    line.answers = lambda piece: piece
    assert committer.commit_all(5)
    assert ("abcd", True) == (in_order(client), once_each(client, "abcd"))


@pytest.mark.parametrize("known", range(3))
def test_a_script_flush_between_two_calls_changes_neither_number_nor_order(
    client: redis.Redis, line: Any, known: int
) -> None:
    """Those that come after it all fail."""
    committer, tags = over(line, client, *[message(name) for name in "abcd"])
    committer.connection.open()
    let_on = hold(line)
    for number, (tag, name) in enumerate(zip(tags, "abcd", strict=True)):
        if number == known:
            client.script_flush()
        committer.submit(done(tag, name, record=False))
        committer.flush()
        if number < known:
            wait_until(lambda number=number: children(client) == number + 1)
    assert 4 == len(committer._under_way)
    let_on.set()
    assert committer.commit_all(5)
    assert ("abcd", True) == (in_order(client), once_each(client, "abcd"))
    assert (4, 0, 0) == counted(committer)


def refuse(committer: Committer, numbers: set[int], error: str) -> None:
    """Redis answers these calls, counted from 1, with an error."""
    send, calls = committer.connection.send, [0]

    def refusing(*words: Any) -> None:
        calls[0] += 1
        send(*(("EVAL", "return redis.error_reply(ARGV[1])", 0, error) if calls[0] in numbers else words))

    committer.connection.send = refusing  # type: ignore[method-assign]  # a stand-in


@pytest.mark.parametrize(
    "error",
    [
        "BUSY Redis is busy running a script",
        "OOM command not allowed",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "NOREPLICAS Not enough good replicas to write.",
        "ERR of one of the two messages, nobody knows which",
    ],
)
def test_what_redis_refuses_in_the_middle_is_sent_again_and_its_neighbours_are_committed_once(
    client: redis.Redis, line: Any, error: str
) -> None:
    committer, tags = over(line, client, *[message(name) for name in "abcd"])
    committer.connection.open()
    let_on = hold(line)
    refuse(committer, {2}, error)
    for names, part in (("a", tags[:1]), ("bc", tags[1:3]), ("d", tags[3:])):
        for tag, name in zip(part, names, strict=True):
            committer.submit(done(tag, name, record=False))
        committer.flush()
    assert 3 == len(committer._under_way)
    let_on.set()
    assert committer.commit_all(5)
    assert ([], True) == (dead(client), once_each(client, "abcd"))
    assert ("a", "bc") == (in_order(client)[0], in_order(client).replace("d", "")[1:])


def test_what_redis_refuses_together_is_one_failed_attempt(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.05)
    committer, tags = over(line, client, *[message(name) for name in "abc"])
    committer.connection.open()
    let_on = hold(line)
    refuse(committer, {1, 2, 3}, "NOREPLICAS Not enough good replicas to write.")
    for tag, name in zip(tags, "abc", strict=True):
        committer.submit(done(tag, name))
        committer.flush()
    let_on.set()
    committer.read_answers()
    assert (1, 3) == (committer.connection._failures, len(committer._unknown))
    assert committer.commit_all(5)
    assert ("abc", True) == (in_order(client), once_each(client, "abc"))


def test_what_cannot_be_sent_waits_for_what_is_under_way(client: redis.Redis, line: Any) -> None:
    """That may have to be sent again, before it."""
    committer, tags = over(line, client, *[message(name) for name in "abcd"])
    committer.connection.open()
    let_on = hold(line)
    refuse(committer, {1}, "NOREPLICAS Not enough good replicas to write.")
    committer.submit(done(tags[0], "a"))
    committer.flush()
    bad = done(tags[1], "b")
    bad.effects = [("SET", "k", None)]
    for commit in (bad, done(tags[2], "c"), done(tags[3], "d")):
        committer.submit(commit)
    sender = threading.Thread(target=committer.flush)
    sender.start()
    let_on.set()
    sender.join(5)
    assert committer.commit_all(5)
    assert (["a", "c", "d"], 1) == (sorted(in_order(client)), len(dead(client)))
    assert ([1, 0, 1, 1], (4, 0, 0)) == ([effects(client, name) for name in "abcd"], counted(committer))


def test_what_is_asked_behind_several_calls_gets_its_own_answer(client: redis.Redis, line: Any) -> None:
    committer, let_on = sent(client, line, "abc")
    push(client, message("d"))
    claimed = claim(client)
    tag = tag_of(claimed.raws[0])
    committer.leases.held[tag] = Lease(claimed.fence, "orders")
    let_on.set()
    assert (1, None) == committer.leases.started(tag)
    assert (3, 0, 0) == counted(committer)
    committer.leases.renew()
    assert int(committer.leases.held[tag].fence) == client.zscore(keys.LEASES, tag)


def test_who_waits_for_a_commit_waits_for_all_before_it_and_callbacks_come_in_their_order(
    client: redis.Redis, line: Any
) -> None:
    committer, tags = over(line, client, *[message(name) for name in "abc"])
    committer.connection.open()
    let_on, told, ended = hold(line), [], []
    commits = [done(tag, name) for tag, name in zip(tags, "abc", strict=True)]
    for commit in commits:
        commit.then(lambda commit=commit: told.append(commit.task_id))
    for commit in commits[:2]:
        committer.submit(commit)
        committer.flush()
    waiting = threading.Thread(target=lambda: ended.append(committer.commit(commits[2])))
    waiting.start()
    waiting.join(0.1)
    assert ([], []) == (told, ended)
    let_on.set()
    waiting.join(5)
    assert (["a", "b", "c"], ["committed"]) == (told, ended)


def test_a_connection_that_closes_beneath_us_is_not_taken_for_a_new_one(client: redis.Redis, line: Any) -> None:
    """redis-py closes it where a signal handler raises an error while it reads, and would open it again by itself. Then
    the next answer would be taken for that of an outcome that Redis has never heard of."""
    committer, tags = over(line, client, *[message(name) for name in "ab"])
    committer.connection.open()
    line.requests = lambda piece: b""
    committer.submit(done(tags[0], "a"))
    committer.flush()
    time.sleep(0.02)  # it is lost by now
    line.requests = lambda piece: piece
    committer.connection._connection.disconnect()
    committer.submit(done(tags[1], "b"))
    committer.flush()
    assert committer.commit_all(5)
    assert ((2, 0, 0), "ab") == (counted(committer), in_order(client))


def test_redis_py_does_not_ask_in_between_whether_the_connection_lives(
    client: redis.Redis, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.BrokerConnection, "arrived", False)
    committer, tags = over(line, client, *[message(name) for name in "ab"])
    committer.connection.open()
    committer.connection._connection.health_check_interval = 0.001
    for number, (tag, name) in enumerate(zip(tags, "ab", strict=True), 1):
        committer.submit(done(tag, name))
        time.sleep(0.002)
        committer.flush()
        wait_until(lambda number=number: children(client) == number)
    assert committer.commit_all(5)
    assert (2, 0, 0) == counted(committer)


# Redis away


def test_while_redis_is_away_nothing_is_lost_and_when_it_is_back_all_is_committed(
    client: redis.Redis, line: Any
) -> None:
    committer, tags = over(line, client, *[message(str(n)) for n in range(30)])
    line.requests = lambda piece: "cut"
    for number, tag in enumerate(tags[:20]):
        committer.submit(done(tag, str(number)))
        if number % 5 == 0:
            committer.flush()
    assert not committer.commit_all(0.1)
    assert not committer.everything_committed
    for number, tag in enumerate(tags[20:], 20):
        committer.submit(done(tag, str(number)))
    line.requests = lambda piece: piece
    assert committer.commit_all(5)
    assert ((30, 0, 0), 30) == (counted(committer), children(client))


def test_the_next_attempt_waits_longer_each_time_up_to_two_seconds(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.05)
    now = [100.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])
    committer = committer_of(client)
    pauses = []
    for _ in range(8):
        committer.connection.broke()
        pauses.append(round(committer.connection._away_until - now[0], 3))
        assert not committer.connection.reachable
        now[0] = committer.connection._away_until
        assert committer.connection.reachable
    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0] == pauses


def test_to_finish_a_task_never_waits_for_a_redis_that_is_away(client: redis.Redis, line: Any) -> None:
    committer, (tag, other) = over(line, client, message("a"), message("b"), patience=3)
    line.requests = lambda piece: "cut"
    committer.submit(done(tag, "a"))
    committer.flush()
    committer.read_answers()
    committer.connection._away_until = time.monotonic() + 60
    line.requests = lambda piece: b""  # whoever asks waits for the time-out
    before = time.monotonic()
    committer.submit(done(other, "b"))
    committer.flush()
    assert not committer.commit_all(0.0)
    assert time.monotonic() - before < 2


def test_commit_all_ends_in_time_where_redis_says_nothing(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        near, (tag,) = holding(client, message())
    committer = committer_of(impatient(redis_to_break.port, 0.2))
    committer.leases.held.update(near.leases.held)
    redis_to_break.pause()
    committer.submit(done(tag))
    before = time.monotonic()
    assert not committer.commit_all(0.5)
    assert time.monotonic() - before < 1.5
    redis_to_break.resume()
    assert committer.commit_all(5)


def test_a_redis_that_takes_no_writes_for_now_gets_the_outcome_later(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    client.script_load(OUTCOME.text)
    client.config_set("min-replicas-to-write", 1)
    try:
        committer.submit(done(tag))
        assert not committer.commit_all(0.1)
        assert 0 == committer.counters.committed
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert committer.commit_all(5)
    assert ((1, 0, 0), 1) == (counted(committer), effects(client))
    assert [] == dead(client)


def test_after_a_script_flush_everything_goes_on(client: redis.Redis) -> None:
    committer, tags = holding(client, *[message(str(n)) for n in range(4)])
    committer.submit(done(tags[0], "0"))
    assert committer.commit_all(5)
    client.script_flush()
    committer.submit(done(tags[1], "1"))
    assert committer.commit_all(5)
    client.script_flush()
    committer.leases.renew()
    assert (1, None) == committer.leases.started(tags[2], keys.once("2"))
    client.script_flush()
    committer.show(tags[2], "a", "meta", b"STARTED", 60)
    assert b"STARTED" == client.get("meta")
    client.script_flush()
    assert 1 == committer.leases.release([tags[2]])
    committer.submit(done(tags[3], "3"))
    assert committer.commit_all(5)
    assert (3, 0, 0) == counted(committer)


# What can never be committed


def test_one_that_redis_will_never_take_becomes_a_letter_and_its_neighbours_are_committed(client: redis.Redis) -> None:
    raws = [message(str(n)) for n in range(7)]
    committer, tags = holding(client, *raws)
    commits = [done(tag, str(number)) for number, tag in enumerate(tags)]
    commits[3].record_ms = 0  # SET refuses it, and with it the script
    for commit in commits:
        committer.submit(commit)
    assert committer.commit_all(5)
    assert [1, 1, 1, 0, 1, 1, 1] == [effects(client, str(number)) for number in range(7)]
    assert 6 == children(client)
    assert [raws[3]] == [raw for raw, _ in dead(client)]
    assert not client.exists(keys.UNACKED, keys.LEASES)


def test_neighbours_without_a_record_have_their_effect_once_all_the_same(client: redis.Redis) -> None:
    committer, tags = holding(client, message("good"), message("bad"))
    bad = done(tags[1], "bad")
    bad.record_ms = 0
    committer.submit(done(tags[0], "good", record=False))
    committer.submit(bad)
    assert committer.commit_all(5)
    assert (1, 1) == (effects(client, "good"), children(client))


def test_a_large_batch_with_one_such_is_through_quickly(client: redis.Redis) -> None:
    committer, tags = holding(client, *[message(str(n)) for n in range(60)])
    for number, tag in enumerate(tags):
        committer.submit(done(tag, str(number)))
    committer._done[30].record_ms = 0
    for _ in range(5):  # half a second of the guard's ticks
        committer.flush()
        committer.read_answers()
    assert committer.everything_committed


def test_a_conflict_becomes_a_letter(client: redis.Redis) -> None:
    client.set(keys.once("a"), "done:other")
    committer, (tag,) = holding(client, message())
    committer.submit(done(tag))
    assert committer.commit_all(5)
    assert ["conflict"] == [about["reason"] for _, about in dead(client)]
    assert ((1, 0, 0), b"done:other") == (counted(committer), client.get(keys.once("a")))


def test_a_start_that_was_refused_is_not_taken_back(client: redis.Redis) -> None:
    """This worker stalled, lost its message, and got it again: only what it has counted since can be taken back."""
    committer, (tag,) = holding(client, message())
    client.hset(keys.STARTS, tag, 2)
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    assert -1 == committer.leases.started(tag)[0]
    committer.leases.held[tag] = Lease(claim(client).fence, "orders")
    assert 1 == committer.leases.release([tag])
    assert b"2" == client.hget(keys.STARTS, tag)


def test_a_start_that_ended_is_not_taken_back(client: redis.Redis) -> None:
    """Its outcome was refused, since the lease had been lost; then the message came to this worker again."""
    committer, (tag,) = holding(client, message())
    client.hset(keys.STARTS, tag, 2)
    assert 3 == committer.leases.started(tag)[0]
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    assert "refused" == committer.commit(done(tag))
    committer.leases.held[tag] = Lease(claim(client).fence, "orders")
    assert 1 == committer.leases.release([tag])
    assert b"3" == client.hget(keys.STARTS, tag)


def test_what_cannot_even_be_a_letter_comes_back_when_its_lease_is_over(client: redis.Redis) -> None:
    committer, (tag, good) = holding(client, message("a"), message("b"))
    client.set(keys.dead("orders"), "no stream")
    committer.submit(letter(tag))
    committer.submit(done(good, "b"))
    assert committer.commit_all(0.5)
    assert 1 == effects(client, "b")
    client.delete(keys.dead("orders"))
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)
    assert {tag: 0} == claim(client).starts


UNSENDABLE = {
    "None": [("SET", "k", None)],
    "a list": [("SET", "k", [1])],
    "half a surrogate pair": [("SET", "k", "\ud800")],
}


@pytest.mark.parametrize("wanted", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_becomes_a_letter_and_its_neighbours_are_committed(
    client: redis.Redis, wanted: Any
) -> None:
    committer, (bad, good) = holding(client, message("a"), message("b"))
    commit = done(bad, "a")
    commit.effects = wanted
    committer.submit(commit)
    committer.submit(done(good, "b"))
    assert committer.commit_all(1)
    assert (1, 0) == (effects(client, "b"), effects(client, "a"))
    assert 1 == len(dead(client))


# Leases


def test_a_renewal_makes_new_fences_and_the_outcome_knows_them(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    old = int(committer.leases.held[tag].fence)
    committer.leases.renew()
    assert int(committer.leases.held[tag].fence) == client.zscore(keys.LEASES, tag) > old
    committer.submit(done(tag))
    assert committer.commit_all(5)
    assert (1, 0, 0) == counted(committer)


def test_more_is_renewed_than_fits_a_script(client: redis.Redis) -> None:
    count = module.MOST_COMMITS + 5
    push(client, *[message(str(n)) for n in range(count)])
    committer = committer_of(client)
    for _ in range(2):
        claimed = claim(client, want=500)
        committer.leases.held.update({tag_of(raw): Lease(claimed.fence, "orders") for raw in claimed.raws})
    committer.leases.lease_us = 120_000_000
    committer.leases.renew()
    expected = {tag: int(held.fence) for tag, held in committer.leases.held.items()}
    assert expected == {tag.decode(): score for tag, score in client.zrange(keys.LEASES, 0, -1, withscores=True)}
    assert (count, 0) == (len(expected), committer.leases.lost)


def test_a_lease_lost_at_a_renewal_is_let_go_and_a_later_outcome_is_refused_and_counted(client: redis.Redis) -> None:
    committer, (lost, kept) = holding(client, message("a"), message("b"))
    client.zadd(keys.LEASES, {lost: 1})
    assert 1 == restore(client, SEPARATOR, STEPS)
    claim(client)
    committer.leases.renew()
    assert ({kept}, 1) == (set(committer.leases.held), committer.leases.lost)
    committer.submit(done(lost, "a"))
    committer.submit(done(kept, "b"))
    assert committer.commit_all(5)
    assert ((1, 1, 0), 0, 1) == (counted(committer), effects(client, "a"), effects(client, "b"))
    assert lost.encode() in client.hkeys(keys.UNACKED)


def test_a_renewal_reads_the_answer_that_is_under_way(client: redis.Redis) -> None:
    committer, (first, second) = holding(client, message("a"), message("b"))
    committer.submit(done(first, "a"))
    committer.flush()
    assert committer._under_way
    committer.leases.renew()
    assert int(committer.leases.held[second].fence) == client.zscore(keys.LEASES, second)
    assert (1, 0, 0) == counted(committer)


def test_what_is_asked_after_an_outcome_gets_its_own_answer(client: redis.Redis) -> None:
    committer, (first, second) = holding(client, message("a"), message("b"))
    committer.submit(done(first, "a"))
    committer.flush()
    assert (1, None) == committer.leases.started(second, "")
    assert (1, 0, 0) == counted(committer)


def test_a_message_that_was_given_back_while_a_renewal_was_under_way_is_not_held_again(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    ask = committer.connection.ask

    def meanwhile(*words: Any) -> Any:
        committer.leases.held.pop(tag)
        return ask(*words)

    committer.connection.ask = meanwhile  # type: ignore[method-assign]  # a stand-in
    committer.leases.renew()
    assert {} == committer.leases.held


@pytest.mark.parametrize(
    "what",
    [
        "release",
        "started",
    ],
)
def test_a_renewal_under_way_does_not_make_a_claim_worthless(client: redis.Redis, what: str) -> None:
    committer, (tag,) = holding(client, message())
    ask, asked, answer = committer.connection.ask, threading.Event(), []

    def slow(script: Any, *words: Any) -> Any:
        if script is leases.RENEW:
            other.start()
            asked.wait(0.2)  # the other thread has read what it reads before it waits for us
        return ask(script, *words)

    def meanwhile() -> None:
        answer.append(committer.leases.release([tag]) if what == "release" else committer.leases.started(tag, "")[0])

    other = threading.Thread(target=meanwhile)
    committer.connection.ask = slow  # type: ignore[method-assign]  # a stand-in
    committer.leases.renew()
    other.join()
    assert [1] == answer


def test_a_renewal_whose_answer_is_lost_loses_no_message(client: redis.Redis, line: Any) -> None:
    """What ran is refused, because its fence is not known: it comes back and runs again."""
    client.script_load(leases.RENEW.text)
    committer, (tag,) = over(line, client, message())
    committer.connection.open()
    line.lose_answers(1)
    with pytest.raises(redis.ConnectionError):
        committer.leases.renew()
    time.sleep(0.01)
    committer.submit(done(tag, record=False))
    assert committer.commit_all(5)
    assert ((0, 1, 0), 0) == (counted(committer), effects(client))
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)


def test_while_redis_is_away_nothing_is_renewed_and_nothing_let_go(client: redis.Redis, line: Any) -> None:
    committer, (tag,) = over(line, client, message())
    committer.connection.open()
    line.requests = lambda piece: "cut"
    for _ in range(3):
        with suppress(redis.ConnectionError):
            committer.leases.renew()
    line.requests = lambda piece: piece
    time.sleep(0.05)
    committer.leases.renew()
    assert ({tag}, 0) == (set(committer.leases.held), committer.leases.lost)


# Giving back


def test_what_is_given_back_is_not_committed_any_more(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    assert 1 == committer.leases.release([tag, "unknown"])
    committer.submit(done(tag))
    assert committer.commit_all(5)
    assert ((0, 1, 0), 0) == (counted(committer), effects(client))
    assert 1 == client.llen("orders")


@pytest.mark.parametrize(("started", "expected"), [(True, {f"{PROVEN}"}), (False, set())])
def test_only_what_its_worker_ended_for_counts_when_it_starts_again(
    client: redis.Redis, started: bool, expected: set[str]
) -> None:
    committer, (tag,) = holding(client, message())
    committer.leases.release([tag], started=started)
    assert expected == {value.decode() for value in client.hvals(keys.STARTS)}


def test_a_start_that_was_counted_is_taken_back_with_the_claim(client: redis.Redis) -> None:
    committer, (tag, other) = holding(client, message(), message("b"))
    client.hset(keys.STARTS, mapping={tag: 2, other: 2})
    committer.leases.started(tag)
    committer.leases.renew()
    assert 2 == committer.leases.release([tag, other])
    assert {tag: 2, other: 2} == claim(client).starts
    assert not committer.leases.counted


def test_what_was_counted_and_is_held_no_more_is_forgotten(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    committer.leases.started(tag)
    committer.submit(done(tag))
    assert committer.commit_all(5)
    committer.leases.renew()
    assert not committer.leases.counted


def test_what_could_not_be_given_back_comes_back_when_its_lease_is_over(client: redis.Redis, line: Any) -> None:
    committer, (tag,) = over(line, client, message())
    line.requests = lambda piece: "cut"
    assert 0 == committer.leases.release([tag])
    assert {} == committer.leases.held
    overdue(client)
    assert 1 == restore(client, SEPARATOR, STEPS)


def test_claims_are_given_back_though_the_connection_died_while_nobody_looked(client: redis.Redis, line: Any) -> None:
    committer, (tag,) = over(line, client, message())
    committer.leases.renew()
    line.lose_requests(1)
    assert 1 == committer.leases.release([tag])
    assert (0, 1) == (client.zcard(keys.LEASES), client.llen("orders"))


def test_a_start_of_what_is_not_held_is_no_start(client: redis.Redis) -> None:
    committer, _ = holding(client)
    assert (-1, None) == committer.leases.started("unknown", "")


def test_a_state_is_shown_only_of_what_is_held(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    committer.show("unknown", "a", "meta", b"STARTED", 60)
    assert not client.exists("meta")
    committer.show(tag, "a", "meta", b"STARTED", 60)
    assert b"STARTED" == client.get("meta")


def test_progress_is_stored_while_the_message_is_ours(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    commit = Commit(tag, "a")
    assert committer.tell(commit, ("meta", b"PROGRESS", 60))
    assert b"PROGRESS" == client.get("meta")
    overdue(client)
    restore(client, SEPARATOR, STEPS)
    assert committer.tell(commit, ("meta", b"of one that has lost its message", 60))
    assert b"PROGRESS" == client.get("meta")


def test_progress_waits_for_a_redis_that_is_away(client: redis.Redis) -> None:
    committer, (tag,) = holding(client, message())
    committer.connection.broke()
    assert not committer.tell(Commit(tag, "a"), ("meta", b"PROGRESS", 60))


def test_a_full_redis_takes_outcomes_and_claims_back(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        committer, (first, second) = holding(client, message("a"), message("b"))
        full(client)
        committer.submit(done(first, "a"))
        assert committer.commit_all(5)
        assert (1, 1) == (effects(client, "a"), committer.leases.release([second]))


# Threads


def test_threads_finish_while_leases_are_renewed_and_everything_is_committed_once(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0005)
    committer, tags = holding(client, *[message(str(n)) for n in range(100)])

    def work(part: list[str]) -> None:
        for tag in part:
            committer.submit(done(tag, tag, record=False))
            time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(tags[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        committer.leases.renew()
    assert committer.commit_all(5)
    assert ((100, 0, 0), 0) == (counted(committer), committer.leases.lost)
    assert [1] * 100 == [effects(client, tag) for tag in tags]
