"""Publish once: over a line that loses things, to a Redis that is full, paused, away, or forgets its scripts."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import impatient
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.errors import Conflict, NotPublished, OutcomeUnknown, PublishError, QueueFull, TransientError
from celeriac.http.availability import Availability
from celeriac.http.calls import Calls
from celeriac.http.publisher import PatientPublisher
from celeriac.message.frame import frame
from celeriac.publish.attempts import Patience
from celeriac.publish.connections import TRUSTED_SECONDS
from celeriac.publish.outgoing import Outgoing, chunks
from celeriac.publish.publisher import SCRIPT, Publisher
from celeriac.published import Published

pytestmark = pytest.mark.integration

SOON = Patience(attempts=3, first_seconds=0.01, step_seconds=0.0)


def message(task_id: str, text: str = "", **changes: Any) -> Outgoing:
    raw = frame("tasks.x", "orders", [text], task_id=task_id)
    return Outgoing("tasks.x", task_id, "orders", "orders", f"print-{text}", 60_000, raw)._replace(**changes)


def queued(client: redis.Redis) -> list[bytes]:
    return client.lrange("orders", 0, -1)[::-1]


@pytest.fixture
def raw_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        client.script_load(SCRIPT.text)  # else an answer that is lost may be "no such script", in the first test of all
        yield client


def in_a_thread(client: redis.Redis, message: Outgoing, bound: int = 0) -> bool:
    return Publisher(client, bound, SOON).publish(message)


def in_a_service(client: redis.Redis, message: Outgoing, bound: int = 0) -> bool:
    """For somebody who waits for the answer of an HTTP service."""
    availability = Availability(client.ping, lambda: None)
    calls = Calls("publishing", availability)
    try:
        return PatientPublisher((client, bound, SOON), calls, None, lambda *_: None).publish(message)
    finally:
        availability.close()
        calls.close()


Publish = Callable[..., bool]
both = pytest.mark.parametrize("publish", [in_a_thread, in_a_service])


@both
def test_a_repeat_is_told_and_changes_nothing(publish: Publish, raw_client: redis.Redis) -> None:
    first, second = message("a"), message("a")
    assert [True, False] == [publish(raw_client, first), publish(raw_client, second)]
    assert [first.raw] == queued(raw_client)


@both
def test_an_answer_that_is_lost_is_asked_for_again(publish: Publish, raw_client: redis.Redis, line: Any) -> None:
    line.lose_answers(2)
    assert publish(impatient(line.port), message("a"))
    assert 1 == len(queued(raw_client))


@both
def test_a_request_that_is_lost_is_made_again(publish: Publish, raw_client: redis.Redis, line: Any) -> None:
    line.lose_requests(2)
    assert publish(impatient(line.port), message("a"))
    assert 1 == len(queued(raw_client))


@both
@pytest.mark.parametrize("arrives", [True, False])
def test_who_hears_nothing_at_all_says_so_and_may_repeat(
    publish: Publish, arrives: bool, raw_client: redis.Redis, line: Any
) -> None:
    (line.lose_answers if arrives else line.lose_requests)(3)
    with pytest.raises(OutcomeUnknown, match=r"^no answer, task a may be published or not: ") as caught:
        publish(impatient(line.port), message("a"))
    assert Published(unknown=("a",)) == caught.value.published
    assert arrives == (arrived(raw_client) if arrives else bool(queued(raw_client)))
    assert (not arrives) == publish(impatient(line.port), message("a"))
    assert 1 == len(queued(raw_client))


def test_what_a_paused_redis_does_when_it_wakes_up_is_done_once(redis_to_break: Any) -> None:
    client = impatient(redis_to_break.port, 0.1)
    publisher = Publisher(client, 0, SOON)
    publisher.publish(message("before"))  # so that there is an open connection: the request will be in its buffers
    redis_to_break.pause()
    with pytest.raises(OutcomeUnknown):
        publisher.publish(message("a"))
    redis_to_break.resume()
    assert not publisher.publish(message("a"))
    assert 2 == client.llen("orders")


@both
def test_who_is_certain_that_nothing_happened_says_that(publish: Publish, redis_to_break: Any) -> None:
    redis_to_break.stop()
    with pytest.raises(NotPublished, match=r"^task a not published: ") as caught:
        publish(impatient(redis_to_break.port), message("a"))
    assert Published(refused=("a",)) == caught.value.published


def arrived(client: redis.Redis) -> bool:
    """Whether one message is in its queue, also if the line is slower than the caller is patient."""
    deadline = time.monotonic() + 5
    while not queued(client) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(queued(client)) == 1


ELSEWHERE = [
    ConnectionRefusedError(),
    redis.exceptions.BusyLoadingError("LOADING"),
    redis.AuthenticationError("WRONGPASS"),
    redis.ResponseError("ERR of another command"),
    ExceptionGroup("several", [ConnectionRefusedError(), redis.ResponseError("ERR")]),
]


@both
@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=lambda error: type(error).__name__)
def test_an_error_that_the_caller_was_handling_makes_nothing_certain(
    publish: Publish, elsewhere: Exception, raw_client: redis.Redis, line: Any
) -> None:
    line.lose_answers(3)
    try:
        raise elsewhere
    except Exception:
        with pytest.raises(OutcomeUnknown):
            publish(impatient(line.port), message("a"))
    assert arrived(raw_client)


@both
def test_a_publish_that_failed_for_certain_makes_the_next_one_no_more_certain(
    publish: Publish, raw_client: redis.Redis, redis_to_break: Any, line: Any
) -> None:
    redis_to_break.stop()
    line.lose_answers(3)
    try:
        publish(impatient(redis_to_break.port), message("a"))
    except NotPublished:
        with pytest.raises(OutcomeUnknown):
            publish(impatient(line.port), message("a"))  # another broker
    assert arrived(raw_client)


@both
def test_a_client_that_repeats_on_its_own_does_not_here(publish: Publish, raw_client: redis.Redis, line: Any) -> None:
    client = redis.Redis(port=line.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 5))
    line.lose_answers(1)
    assert publish(client, message("a"))  # its own first attempt is not taken for somebody else's message
    assert 1 == len(queued(raw_client))


@both
def test_who_is_not_let_in_in_time_is_certain(publish: Publish, redis_to_break: Any) -> None:
    redis_to_break.pause()  # it accepts, and greets nobody
    with pytest.raises(NotPublished):
        publish(impatient(redis_to_break.port, 0.1), message("a"))
    redis_to_break.resume()
    with redis.Redis(port=redis_to_break.port) as client:
        assert 0 == client.llen("orders")


@both
def test_where_nobody_accepts_in_time_it_is_certain(publish: Publish) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as waiting:
        port = deaf.getsockname()[1]
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(NotPublished, match="imeout"):
            publish(impatient(port, 0.1), message("a"))


@both
def test_a_name_that_nobody_knows_is_certain(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(NotPublished, match="not known"):
        publish(impatient(1), message("a"))


def test_a_broker_that_comes_back_in_time_is_not_missed(redis_to_break: Any) -> None:
    client = impatient(redis_to_break.port)
    publisher = Publisher(client, 0, Patience(attempts=40, first_seconds=0.05, step_seconds=0.0))
    publisher.publish(message("before"))  # and has a connection, which dies
    redis_to_break.stop()
    back = threading.Timer(0.3, redis_to_break.start)
    back.start()
    assert publisher.publish(message("a"))
    back.join()
    assert 1 == client.llen("orders")


@both
def test_a_full_redis_refuses_at_once(publish: Publish, redis_to_break: Any) -> None:
    client = redis.Redis(port=redis_to_break.port)
    client.config_set("maxmemory", 1)
    with pytest.raises(NotPublished, match="maxmemory"):
        publish(client, message("a"))
    client.config_set("maxmemory", 0)
    assert publish(client, message("a"))


@both
def test_a_redis_that_wants_a_password_says_so(publish: Publish, redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        client.config_set("requirepass", "hunter2")
        with pytest.raises(NotPublished, match="NOAUTH: it wants a password"):
            publish(impatient(redis_to_break.port), message("a"))


def test_a_refusal_after_silence_leaves_it_unknown(raw_client: redis.Redis, line: Any) -> None:
    seen: list[bytes] = []

    def second_is_refused(piece: bytes) -> bytes | str:
        seen.append(piece)
        return "cut" if len(seen) == 1 else b"-OOM command not allowed\r\n"

    client = impatient(line.port)
    client.ping()
    line.answers = second_is_refused
    with pytest.raises(OutcomeUnknown, match="command not allowed"):
        Publisher(client, 0, SOON).publish(message("a"))
    assert 1 == len(queued(raw_client))


@both
def test_a_full_queue_says_when_to_come_back(publish: Publish, raw_client: redis.Redis) -> None:
    publish(raw_client, message("a"), 1)
    with pytest.raises(QueueFull, match=r"^queue orders is full: 1 messages wait, 1 may$") as caught:
        publish(raw_client, message("b"), 1)
    assert Published(refused=("b",)) == caught.value.published
    assert 60 <= (caught.value.retry_after_seconds or 0) <= 75  # nothing is known of how fast it drains
    assert publish(raw_client, message("a"), 1) is False


@both
def test_other_work_under_the_same_id_is_refused_for_good(publish: Publish, raw_client: redis.Redis) -> None:
    publish(raw_client, message("a", "one"))
    with pytest.raises(Conflict, match=r"^tasks\.x a was published before, with other content$") as caught:
        publish(raw_client, message("a", "two"))
    assert not isinstance(caught.value, TransientError)
    assert Published(refused=("a",)) == caught.value.published


@pytest.mark.parametrize("error", [QueueFull, NotPublished, OutcomeUnknown])
def test_whoever_catches_celerys_error_catches_ours(error: type[PublishError]) -> None:
    assert issubclass(error, OperationalError)
    assert issubclass(error, TransientError)
    assert ("text",) == error("text", Published()).args  # no more than text reaches a result


@both
def test_a_redis_that_has_forgotten_its_scripts_is_told_them_again(publish: Publish, raw_client: redis.Redis) -> None:
    publish(raw_client, message("a"))
    raw_client.script_flush()
    assert publish(raw_client, message("b"))


def test_twenty_thousand_submissions_of_five_hundred_ids_queue_five_hundred(raw_client: redis.Redis) -> None:
    publisher = Publisher(raw_client, 100_000)
    messages = [message(str(number)) for number in range(500)]
    counts: Counter[bool] = Counter()

    def submit(start: int) -> None:
        mine = [publisher.publish(messages[(start * 61 + step) % 500]) for step in range(1_250)]
        counts.update(mine)

    with_many = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for one in with_many:
        one.start()
    both_at_once = [publisher.publish_all(messages * 20)]
    for one in with_many:
        one.join()
    assert 500 == len(queued(raw_client)) == len(set(queued(raw_client)))
    accepted = counts[True] + sum(len(one.accepted) for one in both_at_once)
    assert 500 == accepted
    assert 20_000 == accepted + counts[False] + sum(len(one.duplicates) for one in both_at_once)


def test_many_are_sent_in_chunks_and_arrive_in_order(raw_client: redis.Redis) -> None:
    messages = [message(str(number)) for number in range(1_234)]
    told: list[tuple[int, int]] = []
    raw_client.config_resetstat()
    published = Publisher(raw_client, 0).publish_all(
        iter(messages), lambda chunk, became: told.append((len(chunk), len(became.accepted)))
    )
    assert Published(accepted=tuple(one.task_id for one in messages)) == published
    assert [one.raw for one in messages] == queued(raw_client)
    assert [(500, 500), (500, 500), (234, 234)] == told


def test_many_know_their_repeats(raw_client: redis.Redis) -> None:
    publisher = Publisher(raw_client, 0)
    publisher.publish_all([message("b"), message("d")])
    assert Published(("a", "c"), ("b", "d", "a")) == publisher.publish_all([message(one) for one in "abcda"])


def test_a_publisher_declares_a_queue_once_and_again_when_it_finds_it_empty(raw_client: redis.Redis) -> None:
    def declares(publisher: Publisher, task_id: str) -> bool:
        raw_client.delete("_kombu.binding.orders", "_kombu.binding_permanent.orders")
        publisher.publish(message(task_id))
        return bool(raw_client.exists("_kombu.binding.orders"))

    raw_client.lpush("orders", "by hand")
    for publisher in (Publisher(raw_client, 0, SOON), Publisher(raw_client, 0, SOON)):
        raw_client.delete("celery-once-a", "celery-once-b")
        assert [True, False] == [declares(publisher, one) for one in "ab"]
    raw_client.flushdb()
    assert declares(publisher, "c")


def test_nothing_is_nothing(raw_client: redis.Redis) -> None:
    assert Published() == Publisher(raw_client, 0).publish_all([])


def test_when_the_queue_gets_full_midway_it_is_told_which_are_in_it(raw_client: redis.Redis) -> None:
    ids = [str(number) for number in range(1_500)]
    with pytest.raises(QueueFull) as caught:
        Publisher(raw_client, 700).publish_all(message(one) for one in ids)
    became = caught.value.published
    assert Published(accepted=tuple(ids[:700]), refused=tuple(ids[700:])) == became
    assert 700 == len(queued(raw_client))


def test_when_the_line_falls_silent_midway_it_is_told_which_are_unknown(raw_client: redis.Redis, line: Any) -> None:
    ids = [str(number) for number in range(1_500)]
    calls: list[str] = []

    def told(chunk: list[Outgoing], became: Published) -> None:
        calls.append("answered")
        if len(calls) == 1:
            line.lose_answers(3, of=b'"tasks.x"')

    with pytest.raises(OutcomeUnknown) as caught:
        Publisher(impatient(line.port), 0, SOON).publish_all((message(one) for one in ids), told)
    became = caught.value.published
    assert became is not None
    assert Published(tuple(ids[:500]), (), tuple(ids[1_000:]), tuple(ids[500:1_000])) == became
    again = Publisher(raw_client, 0).publish_all(message(one) for one in ids)
    assert (tuple(ids[1_000:]), tuple(ids[:1_000])) == (again.accepted, again.duplicates)  # in doubt, but it was there
    assert 1_500 == len(queued(raw_client))


def test_a_conflict_midway_is_named_and_its_neighbours_are_in(raw_client: redis.Redis) -> None:
    publisher = Publisher(raw_client, 0)
    publisher.publish(message("b", "other"))
    with pytest.raises(Conflict, match=r"^tasks\.x b ") as caught:
        publisher.publish_all([message("a"), message("b"), message("c"), message("d", queue="others", list="others")])
    assert Published(accepted=("a", "c"), refused=("b", "d")) == caught.value.published


def test_chunks_hold_no_more_than_half_a_thousand_or_a_megabyte_and_one_way() -> None:
    small = [message(str(number)) for number in range(501)]
    assert [500, 1] == [len(chunk) for chunk in chunks(small)]
    big = [message(str(number), raw=b"x" * 400_000) for number in range(5)]
    assert [2, 2, 1] == [len(chunk) for chunk in chunks(big)]
    assert [1, 1] == [len(chunk) for chunk in chunks([message("a", raw=b"x" * 2_000_000), message("b")])]
    ways = [message("a"), message("b"), message("c", list="other"), message("d", due_us=1), message("e", life_ms=1)]
    assert [2, 1, 1, 1] == [len(chunk) for chunk in chunks(ways)]


def test_redis_tells_the_time_whatever_this_machine_says(raw_client: redis.Redis, monkeypatch: Any) -> None:
    import time

    publisher = Publisher(raw_client, 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    seconds, microseconds = raw_client.time()
    assert abs(publisher.now_us() - (seconds * 1_000_000 + microseconds)) < 100_000
    raw_client.config_resetstat()
    publisher.now_us()
    assert "cmdstat_time" not in raw_client.info("commandstats")  # it is remembered


def test_the_time_is_not_guessed_and_a_restart_is_no_reason_not_to_know_it(redis_to_break: Any) -> None:
    publisher = Publisher(impatient(redis_to_break.port), 0)
    publisher.publish(message("a"))
    redis_to_break.stop()
    with pytest.raises(NotPublished, match=r"^the broker does not tell its time: "):
        publisher.now_us()
    redis_to_break.start()
    publisher.publish(message("a"))
    redis_to_break.stop()
    redis_to_break.start()
    assert publisher.now_us()


def test_a_connection_that_redis_has_closed_meanwhile_leaves_no_doubt(redis_to_break: Any) -> None:
    publisher = Publisher(impatient(redis_to_break.port), 0, SOON)
    publisher.publish(message("before"))
    redis_to_break.stop()
    time.sleep(TRUSTED_SECONDS)
    with pytest.raises(NotPublished, match=r"^task a not published: "):
        publisher.publish(message("a"))


def test_a_client_in_a_child_process_is_its_own(raw_client: redis.Redis) -> None:
    import os

    publisher = Publisher(raw_client, 0)
    publisher.publish(message("a"))
    child = os.fork()
    if child == 0:
        os._exit(0 if [publisher.publish(message(f"c{n}")) for n in range(100)] == [True] * 100 else 1)
    assert [True] * 100 == [publisher.publish(message(f"p{n}")) for n in range(100)]
    assert 0 == os.waitpid(child, 0)[1]
    assert 201 == len(queued(raw_client))


def test_who_is_interrupted_while_a_chunk_is_on_its_way_leaves_no_answer_behind(raw_client: redis.Redis) -> None:
    def until_ctrl_c() -> Iterator[Outgoing]:
        yield from (message(str(number)) for number in range(700))
        raise KeyboardInterrupt

    with redis.Redis(port=raw_client.connection_pool.connection_kwargs["port"], max_connections=1) as client:
        publisher = Publisher(client, 0)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish_all(until_ctrl_c())
        assert client.ping()  # on the one connection there is, and not the answer to the chunk
        assert publisher.publish(message("after"))


def test_a_redis_that_forgets_its_scripts_between_two_chunks_is_told_them_again(raw_client: redis.Redis) -> None:
    published = Publisher(raw_client, 0).publish_all(
        (message(str(number)) for number in range(1_200)), lambda *_: raw_client.script_flush()
    )
    assert 1_200 == len(published.accepted) == len(queued(raw_client))
