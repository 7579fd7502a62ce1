"""What every broker adapter does: the real ones with real Celery workers, and the fake that devctl ships."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from celeriac.dead_letter.letters import Letter
from celeriac.message.frame import frame
from devctl.broker.amqp import AmqpBroker
from devctl.broker.memory import MemoryBroker
from devctl.broker.ours import CeleriacBroker
from devctl.broker.plain import App
from devctl.broker.port import Broker, Holder, Message, QueueDepth, TaskEvent, TaskResult
from devctl.broker.stock import StockBroker
from devctl.errors import DevctlError

PROBE = Path(__file__).with_name("probe.py")
BODIES = runpy.run_path(str(PROBE))["BODIES"]
SHARED = "probe.shared"
NODES = ("probe@one", "probe@two")


@dataclass
class Place:
    """A broker with two workers that consume SHARED, and what happens to messages, by hand."""

    broker: Broker
    claiming: Callable[[str], AbstractContextManager[None]]
    abandoned: Callable[[Message], None]
    """Claimed by a worker of ours that died; its lease is over."""
    delayed: Callable[[Message], None]
    """To be due in an hour."""
    buried: Callable[[Letter], str]
    """A dead letter of now, with the message and the words of this one; returns its id."""


@pytest.fixture(scope="module")
def memory() -> Place:
    broker = MemoryBroker()
    for node in NODES:
        broker.add_worker(node, queues=[SHARED], bodies=BODIES)

    @contextmanager
    def claiming(queue: str) -> Iterator[None]:
        message = broker.claim([queue])
        assert message is not None
        yield
        broker.acknowledge(message)

    def abandoned(message: Message) -> None:
        broker.publish([message])
        assert message == broker.claim([message.queue])
        broker.abandon(message)

    def buried(letter: Letter) -> str:
        now = time.time()
        known = replace(letter, id=f"{letter.queue}/{round(now * 1_000)}-{next(numbers)}", time=now)
        broker.bury(known)
        return known.id

    numbers = count()
    return Place(broker, claiming, abandoned, broker.delay, buried)


@pytest.fixture(scope="module")
def ours(redis_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # type: ignore[no-untyped-def]  # conftest's fixtures
    redis_server.flush()
    url = redis_server.url
    with _workers(tmp_path_factory, url, url), redis.Redis.from_url(url) as client:
        broker = CeleriacBroker(url)
        _until(lambda: len(broker.consumers()) == len(NODES))
        yield Place(
            broker,
            lambda queue: _claiming(queue, url),
            lambda message: _abandon(client, message),
            lambda message: _delay(client, message),
            lambda letter: _bury(client, letter),
        )


@pytest.fixture(scope="module")
def stock(redis_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # type: ignore[no-untyped-def]  # conftest's fixtures
    """Nobody tells it how this Redis is laid out: keys, workers and their settings do."""
    url, results = (redis_server.url.replace("/0", f"/{database}") for database in (4, 5))
    options = {"global_keyprefix": "shop:", "sep": ":", "priority_steps": [0, 1, 2, 3], "visibility_timeout": 60}
    with _workers(tmp_path_factory, url, results, options):
        _until(lambda: len(StockBroker(url).consumers()) == len(NODES))
        broker = StockBroker(url)
        yield Place(broker, lambda queue: _claiming(queue, url, options), *[_unknown_to_stock] * 3)


@pytest.fixture(scope="module")
def amqp(rabbitmq, redis_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # type: ignore[no-untyped-def]  # conftest's fixtures
    url, results = rabbitmq.url, redis_server.url.replace("/0", "/6")
    with _workers(tmp_path_factory, url, results):
        broker = AmqpBroker(url, management=rabbitmq.management, makes=lambda queue: True)
        _until(lambda: len(broker.consumers()) == len(NODES))
        yield Place(broker, lambda queue: _claiming(queue, url), *[_unknown_to_stock] * 3)


def _unknown_to_stock(*_: object) -> Any:
    raise NotImplementedError("stock Celery keeps no such thing")


@contextmanager
def _claiming(queue: str, url: str, options: dict[str, Any] | None = None) -> Iterator[None]:
    with Connection(url, transport_options=options or {}) as connection:
        channel: Any = connection.channel()
        message = channel.basic_get(queue)
        assert message is not None
        yield
        channel.basic_ack(message.delivery_tag)


@contextmanager
def _workers(
    folders: pytest.TempPathFactory, url: str, results: str, options: dict[str, Any] | None = None
) -> Iterator[None]:
    told = {"PROBE_URL": url, "PROBE_RESULTS": results, "PROBE_OPTIONS": json.dumps(options or {})}
    with ExitStack() as stack:
        for node in NODES:
            stack.enter_context(_worker(told, node, folders.mktemp("worker")))
        yield


# What our transport writes, as its scripts document it.


def _abandon(client: redis.Redis, message: Message) -> None:
    tag = str(uuid.uuid4())
    client.hset("unacked", tag, f'[{_raw(message).decode()},"","{message.queue}"]')
    client.zadd("celery-leases", {tag: (client.time()[0] - 11) * 1_000_000})


def _delay(client: redis.Redis, message: Message) -> None:
    member = f"{message.queue}\x06\x163\n".encode() + _raw(message)
    client.zadd("celery-due", {member: (client.time()[0] + 3_600) * 1_000_000})


def _bury(client: redis.Redis, letter: Letter) -> str:
    told = ("reason", "error", "task", "task_id", "queue", "starts", "retries", "replays", "worker")
    about = json.dumps({name: getattr(letter, name) for name in told})
    stream_id = client.xadd(f"celery-dead-{letter.queue}", {"raw": letter.raw or b"", "about": about})
    return f"{letter.queue}/{stream_id.decode()}"  # type: ignore[union-attr]


def _raw(message: Message) -> bytes:
    return frame(message.task, message.queue, message.args, kwargs=message.kwargs, task_id=message.task_id)


@contextmanager
def _worker(told: dict[str, str], node: str, folder: Path, queue: str = SHARED) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "probe", "worker", "-P", "solo", "-Q", queue, "-n", node]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--loglevel=WARNING", "--without-gossip", "--without-mingle"],
            cwd=PROBE.parent,
            env={**os.environ, **told},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


_OURS = pytest.param("ours", marks=pytest.mark.integration)
_STOCK = pytest.param("stock", marks=pytest.mark.integration)
_AMQP = pytest.param("amqp", marks=pytest.mark.containers)
on_redis = pytest.mark.parametrize("place", ["memory", _OURS, _STOCK], indirect=True)
with_celeriac = pytest.mark.parametrize("place", ["memory", _OURS], indirect=True)


@pytest.fixture(params=["memory", _OURS, _STOCK, _AMQP])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def broker(place: Place) -> Broker:
    return place.broker


@pytest.fixture
def queue() -> str:
    """A queue that nobody consumes, of this test alone."""
    return f"probe.{uuid.uuid4().hex}"


def _until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _echo(queue: str, payload: object = None, **more: object) -> Message:
    return Message("probe.echo", queue, str(uuid.uuid4()), (payload,), **more)  # type: ignore[arg-type]


def _letter(message: Message, reason: str = "permanent", **more: Any) -> Letter:
    raw = _raw(message)
    known: dict[str, Any] = {"task": message.task, "task_id": message.task_id, "starts": 1, "retries": 0, "replays": 0}
    known |= {"raw": raw, "size": len(raw), "error": "PermanentError: why", "worker": "worker@a"}
    return Letter(id="", queue=message.queue, reason=reason, time=0.0, **(known | more))


def _found(broker: Broker, queue: str) -> QueueDepth:
    (found,) = [one for one in broker.queues([queue]) if one.name == queue]
    return found


def _depth(broker: Broker, queue: str) -> tuple[int, int | None]:
    found = _found(broker, queue)
    return found.waiting, found.claimed


def test_a_published_task_runs_and_its_result_comes_back(broker: Broker) -> None:
    message = _echo(SHARED, {"n": 1, "text": "ä"})

    broker.publish([message])

    _until(lambda: broker.results([message.task_id])[0].state == "succeeded")
    assert [TaskResult(message.task_id, "succeeded", {"n": 1, "text": "ä"})] == broker.results([message.task_id])


def test_keyword_arguments_travel(broker: Broker) -> None:
    message = Message("probe.echo", SHARED, str(uuid.uuid4()), (1,), {"unit": "s"})

    broker.publish([message])

    _until(lambda: broker.results([message.task_id])[0].state == "succeeded")
    assert {"payload": 1, "unit": "s"} == broker.results([message.task_id])[0].result


def test_a_failed_task_says_type_and_message(broker: Broker) -> None:
    message = Message("probe.fail", SHARED, str(uuid.uuid4()), ("no such shelf",))

    broker.publish([message])

    _until(lambda: broker.results([message.task_id])[0].state == "failed")
    expected = TaskResult(message.task_id, "failed", error_type="LookupError", error_message="no such shelf")
    assert [expected] == broker.results([message.task_id])


def test_an_unknown_task_is_pending_and_results_keep_their_order(broker: Broker) -> None:
    done, unknown = _echo(SHARED, 1), str(uuid.uuid4())
    broker.publish([done])

    _until(lambda: broker.results([done.task_id])[0].state == "succeeded")

    assert ["pending", "succeeded"] == [one.state for one in broker.results([unknown, done.task_id])]
    assert [] == broker.results([])


def test_a_result_that_nobody_wants_is_not_kept(broker: Broker) -> None:
    ignored, wanted = _echo(SHARED, 1, ignore_result=True), _echo(SHARED, 2)
    broker.publish([ignored, wanted])

    _until(lambda: broker.results([wanted.task_id])[0].state == "succeeded")
    _until(lambda: _depth(broker, SHARED) == (0, 0))

    assert "pending" == broker.results([ignored.task_id])[0].state


@with_celeriac
def test_what_is_published_once_is_there_once_however_often(broker: Broker, queue: str) -> None:
    messages = [_echo(queue, n) for n in range(1_234)]

    first, second = broker.publish_once(messages[:1_000]), broker.publish_once(messages)

    assert (frozenset(), frozenset(one.task_id for one in messages[:1_000])) == (first.repeated, second.repeated)
    assert (1_234, 0) == _depth(broker, queue)


@with_celeriac
def test_what_ran_already_does_not_run_again(broker: Broker) -> None:
    message = _echo(SHARED, {"n": 1})
    broker.publish_once([message])
    _until(lambda: broker.results([message.task_id])[0].state == "succeeded")

    assert frozenset([message.task_id]) == broker.publish_once([message]).repeated
    assert (0, 0) == _depth(broker, SHARED)


@with_celeriac
def test_other_work_under_an_id_is_refused(broker: Broker, queue: str) -> None:
    message = _echo(queue, 1)
    broker.publish_once([message])

    with pytest.raises(DevctlError, match=f"{message.task_id} was published before, with other content"):
        broker.publish_once([replace(message, args=(2,))])

    assert (1, 0) == _depth(broker, queue)


def test_messages_wait_where_nobody_consumes(broker: Broker, queue: str) -> None:
    broker.publish([_echo(queue, n) for n in range(1_234)])

    assert (1_234, 0) == _depth(broker, queue)


def test_a_queue_is_known_once_something_was_published_to_it(broker: Broker, queue: str) -> None:
    broker.publish([_echo(queue)])

    assert queue in [one.name for one in broker.queues([])]


def test_the_queues_that_were_asked_for_come_first_even_if_nobody_knows_them(broker: Broker) -> None:
    found = broker.queues(["zebra", "aardvark"])

    assert ["zebra", "aardvark"] == [one.name for one in found][:2]
    assert [(0, 0, None)] * 2 == [(one.waiting, one.claimed, one.oldest_seconds) for one in found][:2]


def test_celerys_own_bookkeeping_is_not_a_queue(broker: Broker) -> None:
    assert not [one.name for one in broker.queues([]) if "pidbox" in one.name or "celeryev" in one.name]


def test_a_message_is_found_where_it_lies(place: Place, queue: str) -> None:
    first, second = _echo(queue), _echo(queue)
    place.broker.publish([first, second])

    found = place.broker.place(second.task_id)
    with place.claiming(queue):
        claimed, waits = place.broker.place(first.task_id), place.broker.place(second.task_id, queue)

    if place.broker.url.startswith("amqp"):
        assert (None, None, None) == (found, claimed, waits)  # RabbitMQ lets nobody look
        return
    assert found is not None
    assert ("waiting", queue, 1, "probe.echo") == (found.state, found.queue, found.behind, found.task)
    assert claimed is not None
    assert ("claimed", queue, None) == (claimed.state, claimed.queue, claimed.behind)
    assert waits is not None
    assert ("waiting", 0) == (waits.state, waits.behind)
    assert place.broker.place(str(uuid.uuid4())) is None


def test_the_tasks_of_the_oldest_messages_are_told_in_the_order_in_which_they_are_taken(
    broker: Broker, queue: str
) -> None:
    sent = [replace(_echo(queue), task=f"probe.{n}") for n in range(5)]
    broker.publish(sent)

    found = broker.oldest([queue, "probe.nothing-here"], 3)

    amqp = broker.url.startswith("amqp")  # RabbitMQ lets nobody look
    assert found == ({} if amqp else {queue: ["probe.0", "probe.1", "probe.2"]})


@pytest.mark.parametrize("noise", [b"no JSON", b"[]", b"7", b'{"headers": 7}', b'{"headers": {"task": 7}}'])
def test_what_is_no_message_has_no_task(noise: bytes, stock: Place, ours: Place, queue: str) -> None:
    for place, prefix in ((stock, "shop:"), (ours, "")):
        with redis.Redis.from_url(place.broker.url) as client:
            client.lpush(f"{prefix}{queue}", noise)
            client.lpush(
                f"{prefix}{queue}:1" if prefix else f"{queue}\x06\x163", frame("probe.low", queue, [], task_id="1")
            )
            assert {queue: ["", "probe.low"]} == place.broker.oldest([queue])
            client.delete(f"{prefix}{queue}", f"{prefix}{queue}:1", f"{queue}\x06\x163")


def test_a_claimed_message_is_counted_as_claimed(place: Place, queue: str) -> None:
    place.broker.publish([_echo(queue), _echo(queue)])

    with place.claiming(queue):
        _until(lambda: (1, 1) == _depth(place.broker, queue))

    _until(lambda: (1, 0) == _depth(place.broker, queue))


@on_redis
def test_the_oldest_message_tells_how_long_it_has_waited(broker: Broker, queue: str) -> None:
    now = time.time()
    broker.publish([_echo(queue, headers={"published_at": now - 90}), _echo(queue, headers={"published_at": now - 5})])

    found = _found(broker, queue)

    assert found.oldest_seconds == pytest.approx(90, abs=2)


@with_celeriac
def test_what_is_delayed_and_what_is_dead_is_counted_for_its_queue(place: Place, queue: str) -> None:
    later = _echo(queue)
    place.delayed(_echo(queue))
    place.delayed(later)
    place.delayed(_echo(f"{queue}.other"))
    place.buried(_letter(_echo(queue)))

    found = _found(place.broker, queue)

    assert (0, 2, 1, False) == (found.waiting, found.delayed, found.dead, found.stopped)
    assert {queue, f"{queue}.other"} <= {one.name for one in place.broker.queues([])}
    lies = place.broker.place(later.task_id)
    assert lies is not None
    assert ("due", queue, None) == (lies.state, lies.queue, lies.behind)


@with_celeriac
def test_a_queue_of_the_past_is_not_shown_for_letters_that_are_gone(place: Place, queue: str) -> None:
    place.broker.drop([place.buried(_letter(_echo(queue)))])

    assert queue not in [one.name for one in place.broker.queues([])]


@with_celeriac
def test_claims_of_a_dead_worker_go_back_to_their_queue_once(place: Place, queue: str) -> None:
    for n in range(3):
        place.abandoned(_echo(queue, n))
    assert (0, 3) == _depth(place.broker, queue)
    assert 3 == place.broker.expired()

    assert 3 == place.broker.give_back()

    assert (3, 0) == _depth(place.broker, queue)
    assert 0 == place.broker.give_back() == place.broker.expired()


def test_a_claim_whose_lease_is_not_over_stays(place: Place, queue: str) -> None:
    place.broker.publish([_echo(queue)])

    with place.claiming(queue):
        assert 0 == place.broker.give_back() == place.broker.expired()
        _until(lambda: (0, 1) == _depth(place.broker, queue))


@with_celeriac
def test_a_letter_tells_what_it_is_and_only_by_itself_brings_its_message(place: Place, queue: str) -> None:
    letter = _letter(_echo(queue, "ä"), "retries-exhausted", starts=2, retries=3)
    letter_id = place.buried(letter)

    (listed,) = place.broker.letters(queue=queue)
    found = place.broker.letter(letter_id)

    assert found is not None
    assert replace(letter, id=letter_id, time=found.time) == found
    assert replace(found, raw=None) == listed
    assert found.time == pytest.approx(time.time(), abs=5)


@with_celeriac
def test_letters_come_by_time_from_every_queue_or_from_one(place: Place, queue: str) -> None:
    other = f"{queue}.other"
    ids = []
    for name in (queue, other, queue):
        ids.append(place.buried(_letter(_echo(name))))
        time.sleep(0.002)  # so that they differ by a millisecond

    def found(**wanted: Any) -> list[str]:
        return [one.id for one in place.broker.letters(**wanted) if one.queue in (queue, other)]

    assert ids == found()
    assert ids[::-1] == found(newest_first=True)
    assert [ids[0], ids[2]] == found(queue=queue)
    assert ids == found(newer_than=60)
    assert [] == found(older_than=60)


@with_celeriac
def test_a_letter_that_is_not_there_is_none(broker: Broker, queue: str) -> None:
    assert broker.letter(f"{queue}/1-0") is None
    with pytest.raises(ValueError, match="not the id"):
        broker.letter("1-0")


@with_celeriac
def test_a_replayed_letter_runs_as_the_task_it_was(place: Place, queue: str) -> None:
    message = _echo(SHARED, {"n": 7})
    letter = place.broker.letter(place.buried(_letter(message)))
    assert letter is not None

    assert place.broker.replay(letter)

    _until(lambda: place.broker.results([message.task_id])[0].state == "succeeded")
    assert [TaskResult(message.task_id, "succeeded", {"n": 7})] == place.broker.results([message.task_id])


@with_celeriac
def test_a_letter_is_replayed_once(place: Place, queue: str) -> None:
    letter = place.broker.letter(place.buried(_letter(_echo(queue))))
    assert letter is not None

    assert [True, False, False] == [place.broker.replay(letter) for _ in range(3)]
    assert (1, 0) == _depth(place.broker, queue)
    assert [] == list(place.broker.letters(queue=queue))


@pytest.mark.parametrize(
    "more", [{"reason": "undecodable"}, {"raw": b"\xff", "size": 1}, {"raw": b"{}", "size": 2}], ids=str
)
@with_celeriac
def test_what_is_no_message_stays_a_letter(place: Place, queue: str, more: dict[str, Any]) -> None:
    letter = place.broker.letter(place.buried(_letter(_echo(queue), **more)))
    assert letter is not None

    with pytest.raises(ValueError, match=r"."):
        place.broker.replay(letter)

    assert [letter.id] == [one.id for one in place.broker.letters(queue=queue)]
    assert (0, 0) == _depth(place.broker, queue)


@with_celeriac
def test_dropped_letters_are_gone_and_counted_once(place: Place, queue: str) -> None:
    first, second = (place.buried(_letter(_echo(queue))) for _ in range(2))

    assert 1 == place.broker.drop([first])
    assert 0 == place.broker.drop([first])
    assert [second] == [one.id for one in place.broker.letters(queue=queue)]


@with_celeriac
def test_a_forgotten_queue_leaves_nothing_that_is_delayed_or_dead(place: Place, queue: str) -> None:
    place.delayed(_echo(queue))
    place.abandoned(_echo(queue))
    place.buried(_letter(_echo(queue)))
    place.delayed(_echo(f"{queue}.other"))

    place.broker.forget("run", [queue], [])

    known = [one.name for one in place.broker.queues([])]
    assert queue not in known
    assert f"{queue}.other" in known
    assert 0 == place.broker.give_back()


def test_consumers_say_what_they_consume_and_can_run(broker: Broker) -> None:
    found = broker.consumers(expected=2)

    assert list(NODES) == [one.node for one in found]
    assert all(SHARED in one.queues and {"probe.echo", "probe.fail"} <= set(one.tasks) for one in found)


def test_consumers_are_found_at_once_whatever_the_timeout(broker: Broker) -> None:
    started = time.monotonic()

    assert 2 == len(broker.consumers(timeout=30))

    assert time.monotonic() - started < 5


def test_chosen_workers_consume_a_queue_until_told_to_leave_it(broker: Broker, queue: str) -> None:
    broker.consume(queue, [NODES[0]])
    assert [NODES[0]] == [one.node for one in broker.consumers() if queue in one.queues]
    message = _echo(queue, "here")
    broker.publish([message])
    _until(lambda: broker.results([message.task_id])[0].state == "succeeded")

    broker.stop_consuming(queue, [NODES[0]])

    assert [] == [one.node for one in broker.consumers() if queue in one.queues]
    broker.publish([_echo(queue)])
    # A stock worker's last BRPOP may still be under way: what it takes, it gives back.
    _until(lambda: _depth(broker, queue) == (1, 0))


def test_all_workers_leave_a_queue_when_none_is_named(broker: Broker, queue: str) -> None:
    broker.consume(queue, NODES)

    broker.stop_consuming(queue)

    assert [] == [one.node for one in broker.consumers() if queue in one.queues]


def test_a_paused_queue_is_told_until_it_is_resumed(broker: Broker) -> None:
    broker.pause(SHARED)
    paused = broker.paused()
    broker.resume(SHARED)

    assert (frozenset({SHARED}), frozenset()) == (paused, broker.paused())


@pytest.mark.parametrize("place", ["memory", _STOCK, _AMQP], indirect=True)  # workers of ours: celeriac's own tests
def test_what_is_sent_to_a_paused_queue_waits_until_it_is_resumed(broker: Broker) -> None:
    message = _echo(SHARED, "later")
    broker.pause(SHARED)

    broker.publish([message])
    broker.consumers()
    waits = _depth(broker, SHARED)[0], broker.results([message.task_id])[0].state
    broker.resume(SHARED)

    assert (1, "pending") == waits
    _until(lambda: broker.results([message.task_id])[0].state == "succeeded")


@pytest.mark.parametrize("place", [_STOCK, _AMQP], indirect=True)
def test_who_paused_a_queue_of_stock_workers_or_names_them_can_resume_it(broker: Broker, queue: str) -> None:
    with pytest.raises(DevctlError, match="nobody knows which workers are to consume"):
        broker.resume(queue)
    with pytest.raises(DevctlError, match="no worker consumes"):
        broker.pause(queue)

    broker.resume(queue, NODES)

    assert list(NODES) == [one.node for one in broker.consumers() if queue in one.queues]
    broker.stop_consuming(queue)


def test_workers_say_what_they_consume_and_how_much_they_do_at_once(broker: Broker) -> None:
    assert [(node, (SHARED,), 1) for node in sorted(NODES)] == [
        (one.node, one.queues, one.threads) for one in broker.at_work()
    ]


def test_a_look_without_a_search_is_at_these_queues_alone(broker: Broker, queue: str) -> None:
    broker.publish([_echo(queue), _echo(f"{queue}.other")])

    assert [(queue, 1)] == [(one.name, one.waiting) for one in broker.queues([queue], search=False)]


def test_a_worker_that_does_not_obey_is_named(broker: Broker, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devctl.broker.workers.ORDER_SECONDS", 0.5)

    with pytest.raises(DevctlError) as caught:
        broker.consume(queue, [NODES[0], "probe@gone"])

    assert "1 of 2 workers did not obey" in caught.value.problem
    assert "probe@gone" in caught.value.details[0]


def test_workers_tell_of_their_tasks_while_somebody_wants_it(broker: Broker) -> None:
    first, second = [_echo(SHARED, n) for n in range(3)], _echo(SHARED, "later")
    with broker.events() as events:
        assert list(NODES) == sorted(broker.send_events(NODES))
        try:
            assert [] == broker.send_events(NODES)
            broker.publish(first)
            told: list[TaskEvent] = []

            def over() -> bool:
                broker.results([one.task_id for one in first])
                told.extend(one for one in events.taken() if one.task_id in {each.task_id for each in first})
                return sum(one.kind == "succeeded" for one in told) == len(first)

            _until(over)
        finally:
            broker.withhold_events(NODES)
        broker.publish([second])
        _until(lambda: broker.results([second.task_id])[0].state == "succeeded")
        assert second.task_id not in {one.task_id for one in events.taken()}

    assert {"received", "started", "succeeded"} == {one.kind for one in told}
    assert {one.node for one in told} <= set(NODES)
    ends = {one.task_id: one.at for one in told if one.kind == "succeeded"}
    for result in broker.results(list(ends)):
        assert pytest.approx(ends[result.task_id], abs=2.0) == result.finished


def test_a_worker_that_is_silent_is_named_before_its_events_are_waited_for(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devctl.broker.workers.ORDER_SECONDS", 0.5)

    with pytest.raises(DevctlError):
        broker.send_events(["probe@gone"])

    broker.withhold_events(["probe@gone"])


def test_what_is_not_json_is_refused_before_anything_is_sent(broker: Broker, queue: str) -> None:
    with pytest.raises(TypeError):
        broker.publish([_echo(queue, object())])

    assert (0, 0) == _depth(broker, queue)


@with_celeriac
def test_a_run_is_written_down_and_forgotten_and_nothing_else_is(broker: Broker, queue: str) -> None:
    run, other = uuid.uuid4().hex, f"{queue}.other"
    ran = [_echo(SHARED, n, headers={"bench_run": run}) for n in range(3)]
    stays = _echo(SHARED, "stays")
    broker.publish([*ran, stays])
    broker.publish([_echo(queue), _echo(other)])
    _until(lambda: broker.executed(run) == 3)
    _until(lambda: broker.results([stays.task_id])[0].state == "succeeded")

    executions = broker.ledger(run)
    assert {one.task_id for one in ran} == {one.task_id for one in executions}
    assert {one.worker for one in executions} <= set(NODES)
    assert all(one.started <= one.finished <= time.time() for one in executions)

    broker.forget(run, [queue], [one.task_id for one in ran])

    assert (0, []) == (broker.executed(run), broker.ledger(run))
    assert ["pending"] * 3 == [one.state for one in broker.results([one.task_id for one in ran])]
    known = [one.name for one in broker.queues([])]
    assert queue not in known
    assert other in known
    assert "succeeded" == broker.results([stays.task_id])[0].state


@with_celeriac
def test_the_ids_of_a_forgotten_run_can_be_published_once_again(broker: Broker, queue: str) -> None:
    message, other = _echo(queue), _echo(f"{queue}.other")
    broker.publish_once([message, other])

    broker.forget("run", [queue], [message.task_id])

    assert frozenset([other.task_id]) == broker.publish_once([message, other]).repeated
    assert (1, 0) == _depth(broker, queue)


def test_what_is_claimed_of_a_forgotten_queue_never_comes_back(place: Place, queue: str) -> None:
    place.broker.publish([_echo(queue), _echo(queue)])

    with place.claiming(queue):
        place.broker.forget("run", [queue], [])
        assert (0, 0) == _depth(place.broker, queue)

    assert (0, 0) == _depth(place.broker, queue)


def test_a_forgotten_queue_can_be_used_again(broker: Broker, queue: str) -> None:
    broker.publish([_echo(queue)])
    broker.forget("run", [queue], [])

    broker.publish([_echo(queue), _echo(queue)])

    assert (2, 0) == _depth(broker, queue)
    assert queue in [one.name for one in broker.queues([])]


@on_redis
def test_a_redis_says_what_it_is_and_what_it_keeps(broker: Broker) -> None:
    info = broker.info()

    assert info.product in {"redis", "valkey", "memory"}
    assert info.version
    assert info.eviction_policy == "noeviction"
    assert info.persistence in {"none", "RDB only", "AOF everysec", "AOF always"}


def test_workers_tell_their_settings_without_passwords(place: Place) -> None:
    if isinstance(place.broker, MemoryBroker):
        place.broker.workers[0].conf = {"task_acks_late": True, "broker_url": "memory://x:********@h"}

    told = place.broker.conf()

    assert told[NODES[0]]["task_acks_late"] is True
    assert ":********@" in told[NODES[0]]["broker_url"]
    assert NODES[0] in place.broker.stats()


@pytest.mark.containers
def test_a_rabbitmq_says_what_it_is(amqp: Place) -> None:
    assert "rabbitmq" == amqp.broker.info().product
    assert amqp.broker.info().version


@pytest.mark.containers
def test_a_queue_of_rabbitmq_that_nobody_made_is_left_to_its_worker(amqp: Place, queue: str) -> None:
    careful = AmqpBroker(amqp.broker.url)

    with pytest.raises(DevctlError, match=f"there is no queue '{queue}'"):
        careful.publish([_echo(queue)])

    assert queue not in [one.name for one in amqp.broker.queues([])]


@pytest.mark.containers
def test_without_the_management_api_claims_and_other_queues_are_unknown_and_that_is_said(
    amqp: Place, queue: str
) -> None:
    amqp.broker.publish([_echo(queue), _echo(f"{queue}.other")])
    without = AmqpBroker(amqp.broker.url)

    assert [QueueDepth(queue, 1, None, consumers=0)] == without.queues([queue])
    assert "nobody tells what is claimed" in without.blind
    assert "" == amqp.broker.blind


@pytest.mark.containers
def test_where_rabbitmq_puts_what_is_rejected_is_told(amqp: Place, queue: str) -> None:
    with Connection(amqp.broker.url) as connection:
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "shelf.dead"}
        connection.channel().queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)

    assert "shelf.dead" == _found(amqp.broker, queue).dead_letters_to


@pytest.mark.containers
def test_a_result_of_rpc_comes_to_whoever_published_the_task(amqp: Place, rabbitmq: Any) -> None:
    told = {"PROBE_URL": rabbitmq.url, "PROBE_RESULTS": "rpc://"}
    with tempfile.TemporaryDirectory() as folder, _worker(told, "probe@rpc", Path(folder), "probe.rpc"):
        _until(lambda: any(one.node == "probe@rpc" for one in amqp.broker.consumers()))
        broker = AmqpBroker(rabbitmq.url, App(results="rpc://"))
        message = _echo("probe.rpc", {"n": 1})

        broker.publish([message])

        _until(lambda: broker.results([message.task_id])[0].state == "succeeded")
        assert {"n": 1} == broker.results([message.task_id])[0].result


@pytest.mark.integration
def test_what_a_stock_worker_holds_until_it_is_due_is_delayed(stock: Place, queue: str) -> None:
    later = Message("probe.echo", queue, str(uuid.uuid4()))
    raw = json.loads(_raw(later))
    with redis.Redis.from_url(stock.broker.url) as client:
        for eta in ("2999-01-01T00:00:00+00:00", "2001-01-01T00:00:00+00:00"):
            raw["headers"]["eta"] = eta
            client.hset("shop:unacked", str(uuid.uuid4()), json.dumps([raw, "", queue]))

    found = _found(stock.broker, queue)

    assert (0, 1, 1) == (found.waiting, found.claimed, found.delayed)


@pytest.mark.integration
def test_a_message_of_any_priority_waits_in_its_queue(stock: Place, queue: str) -> None:
    with redis.Redis.from_url(stock.broker.url) as client:
        for name in (queue, f"{queue}:2", f"{queue}:3"):
            client.lpush(f"shop:{name}", _raw(_echo(queue)))

    assert 3 == _found(stock.broker, queue).waiting


@pytest.mark.integration
def test_nothing_of_ours_is_left_in_the_redis_of_a_stock_app(stock: Place, queue: str) -> None:
    stock.broker.publish_once([_echo(queue)])
    stock.broker.queues([])
    stock.broker.consumers()

    with redis.Redis.from_url(stock.broker.url) as client:
        (raw,) = client.lrange(f"shop:{queue}", 0, -1)  # type: ignore[misc]  # its stubs allow a coroutine
        names = {key.decode() for key in client.keys("*")}  # type: ignore[union-attr]  # the same
    assert not [one for one in names if not one.startswith("shop:")]
    assert not [one for one in names if one.startswith(("shop:celery-", "shop:devctl"))]
    assert "published_at" not in json.loads(raw)["headers"]


@with_celeriac
def test_a_task_is_found_by_the_beginning_of_its_id_from_its_note_or_its_result(place: Place, queue: str) -> None:
    noted, stored = _echo(queue, 1), replace(_echo(SHARED, 2), queue=SHARED)
    place.broker.publish_once([noted])
    place.broker.publish([stored])
    deadline = time.monotonic() + 20
    while place.broker.results([stored.task_id])[0].state != "succeeded":
        assert time.monotonic() < deadline
        time.sleep(0.01)

    for message in (noted, stored):
        assert [message.task_id] == place.broker.task_ids(message.task_id[:13])
        assert [message.task_id] == place.broker.task_ids(message.task_id)
    assert [] == place.broker.task_ids("?" + noted.task_id[1:])
    assert [] == place.broker.task_ids("nobody-has-this-id")
    assert ("queued", "", "") == tuple(place.broker.note(one) for one in (noted.task_id, stored.task_id, "nobody"))


@pytest.mark.integration
def test_where_a_task_of_a_stock_app_is_can_be_told(stock: Place, queue: str) -> None:
    waits, claimed = _echo(queue), _echo(queue)
    stock.broker.publish([waits])
    with redis.Redis.from_url(stock.broker.url) as client:
        client.hset("shop:unacked", "tag", f'[{_raw(claimed).decode()},"","{queue}"]')

    assert Holder(queue=queue) == stock.broker.holder(waits.task_id)
    assert Holder(queue=queue, claimed=True) == stock.broker.holder(claimed.task_id)
    assert stock.broker.holder("nobody") is None
    stock.broker.forget("run", [queue], [])
    assert stock.broker.holder(claimed.task_id) is None
