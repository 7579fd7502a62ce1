import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, signals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.broker.lists import list_of
from celeriac.dead_letter.letters import Letter, Reason, find, read
from celeriac.dead_letter.replay import Unreadable, opened, priority_of, renewed, replay
from celeriac.message.frame import frame

ORDER = {"order_id": "1", "text": "ä\u2028", "big": 2**70}


def message(**parts: Any) -> bytes:
    return frame("tasks.x", "orders", [ORDER], kwargs={"n": 1}, **({"task_id": "id-1"} | parts))


def tag(raw: bytes) -> str:
    return str(json.loads(raw)["properties"]["delivery_tag"])


def test_a_message_is_opened_as_its_worker_would() -> None:
    found = opened(message())

    assert ("tasks.x", "id-1", [ORDER], {"n": 1}) == (found.task, found.task_id, found.args, found.kwargs)


def body(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def changed(part: str = "", **values: Any) -> bytes:
    """A message with something else in one part of it; None: without it."""
    whole = json.loads(message())
    place = whole[part] if part else whole
    place.update(values)
    for name in [name for name, value in values.items() if value is None]:
        del place[name]
    return json.dumps(whole).encode()


UNREADABLE = {
    "empty": (b"", "the message is not JSON"),
    "not JSON": (b"hello", "the message is not JSON"),
    "binary": (b"\xff\xfe\x00", "the message is not JSON"),
    "deep": (b"[" * 100_000, "the message is not JSON"),
    "a list": (b"[1]", "no headers or no properties"),
    "no headers": (changed(headers=None), "no headers or no properties"),
    "properties of another kind": (changed(properties=[]), "no headers or no properties"),
    "no task": (changed("headers", task=None), "no task or no id"),
    "an id of another kind": (changed("headers", id=7), "no task or no id"),
    "pickle": (changed(**{"content-type": "application/x-python-serialize"}), "not JSON by its content-type"),
    "no body": (changed(body=None), "no body"),
    "a body of another kind": (changed(body={}), "no body"),
    "not base64": (changed(body="?"), "not base64"),
    "not JSON in it": (changed(body=body("nonsense")), "its body is not JSON"),
    "two parts": (changed(body=body("[[], {}]")), "not arguments, keywords and options"),
    "no arguments": (changed(body=body("[{}, {}, {}]")), "not arguments, keywords and options"),
}


@pytest.mark.parametrize(("raw", "why"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_task_message_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        opened(raw)


def test_a_body_that_is_not_in_base64_is_read_too() -> None:
    raw = json.loads(message())
    raw["body"] = base64.b64decode(raw["body"]).decode()
    del raw["properties"]["body_encoding"]

    assert [ORDER] == opened(json.dumps(raw).encode()).args


def test_a_renewed_message_was_never_tried_and_is_the_same_work() -> None:
    headers = {"x_correlation_id": "c-1", "published_at": 1.0, "fingerprint": "f", "mine": [None, 1e-7]}
    old = message(headers=headers, retries=3, eta="2030-01-01T00:00:00+00:00", priority=6, root_id="r", reply_to="me")

    before, after = json.loads(old), json.loads(renewed(opened(old), now=5.5))

    assert before["headers"] | {"retries": 0, "eta": None, "published_at": 5.5, "replays": 1} == after["headers"]
    assert before["properties"] | {"delivery_tag": after["properties"]["delivery_tag"]} == after["properties"]
    assert before["properties"]["delivery_tag"] != after["properties"]["delivery_tag"]
    rest = {"body", "content-encoding", "content-type"}
    assert {name: before[name] for name in rest} == {name: after[name] for name in rest}


def test_replays_are_counted_whatever_stands_there() -> None:
    first = renewed(opened(message()), now=1.0)
    second = renewed(opened(first), now=2.0)
    odd = renewed(opened(message(headers={"replays": "many"})), now=1.0)
    huge = renewed(opened(message(headers={"replays": int("9" * 4300)})), now=1.0)

    assert [1, 2, 1, 1] == [json.loads(raw)["headers"]["replays"] for raw in (first, second, odd, huge)]


def test_that_it_was_taken_back_once_and_had_to_wait_is_forgotten() -> None:
    whole = json.loads(message())
    whole["headers"]["redelivered"] = True
    whole["headers"]["due_at"] = "2026-11-29T08:00:00+00:00"
    whole["properties"]["delivery_info"]["redelivered"] = True

    again = json.loads(renewed(opened(json.dumps(whole).encode()), now=1.0))

    assert set() == {"redelivered", "due_at"} & again["headers"].keys()
    assert {"exchange": "", "routing_key": "orders"} == again["properties"]["delivery_info"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    st.dictionaries(st.sampled_from(["reply_to", "priority", "x"]), json_values),
    st.text(min_size=1),
    st.booleans(),
)
def test_any_message_ends_as_a_claim_expects_it_and_its_body_is_untouched(
    headers: dict[str, Any], properties: dict[str, Any], task_id: str, indented: bool
) -> None:
    whole = json.loads(message())
    whole["properties"] = {"delivery_tag": "first", **properties, "body_encoding": "base64"}
    whole["headers"] = {**headers, "task": "tasks.x", "id": task_id}
    old = opened(json.dumps(whole, indent=2 if indented else None).encode())

    raw = renewed(old, now=1.5)
    new = opened(raw)

    assert (b'"delivery_tag": "', b'"}}') == (raw[-56:-39], raw[-3:])
    assert tag(raw) == raw[-39:-3].decode()
    assert b'"eta": null' in raw
    assert (old.frame["body"], task_id, old.args) == (new.frame["body"], new.task_id, new.args)
    kept = {name: value for name, value in headers.items() if name not in ("redelivered", "due_at")}
    expected = {**kept, "task": "tasks.x", "id": task_id, "retries": 0, "eta": None, "published_at": 1.5}
    assert expected | {"replays": new.headers["replays"]} == new.headers


PRIORITIES: list[Any] = [None, 0, 2, 3, 5, 6, 8, 9, 12, -4, "6", "high", [], 1e400]


@pytest.mark.parametrize("priority", PRIORITIES, ids=str)
def test_the_list_is_the_one_that_kombu_would_take(priority: Any) -> None:
    from kombu.transport.redis import Channel
    from kombu.transport.virtual import Channel as Virtual

    channel = Channel.__new__(Channel)  # no connection
    whole = json.loads(message())
    whole["properties"]["priority"] = priority
    if priority is None:
        del whole["properties"]["priority"]
    expected = 0 if priority == 1e400 else Virtual._get_message_priority(channel, whole)

    assert channel._q_for_pri("orders", expected) == list_of("orders", priority_of(opened(json.dumps(whole).encode())))


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def buried(client: redis.Redis, raw: bytes, reason: str = "permanent", queue: str = "orders") -> Letter:
    about = json.dumps({"reason": reason, "error": "why", "queue": queue})
    stream_id = client.xadd(f"celery-dead-{queue}", {"raw": raw, "about": about}).decode()  # type: ignore[union-attr]
    letter = find(client, f"{queue}/{stream_id}")
    assert letter is not None
    return letter


@pytest.mark.integration
def test_a_replayed_letter_is_a_message_of_its_queue_and_no_letter_any_more(client: redis.Redis) -> None:
    raw = message(retries=3, priority=9)
    client.hset("celery-starts", mapping={tag(raw): 5, "another": 2})
    client.lpush("orders\x06\x169", "waits already")

    assert replay(client, buried(client, raw))

    newest, *others = client.lrange("orders\x06\x169", 0, -1)  # type: ignore[misc]
    assert [b"waits already"] == others
    assert ("id-1", 0, 1) == tuple(json.loads(newest)["headers"][name] for name in ("id", "retries", "replays"))
    assert [] == list(read(client))
    assert {b"another": b"2"} == client.hgetall("celery-starts")


@pytest.mark.integration
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["replay", "replay", "again", "drop"]), min_size=2, max_size=8), st.integers(0, 9))
def test_a_letter_is_replayed_at_most_once_whatever_is_tried(
    redis_server: Any, steps: list[str], priority: int
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
        letter = buried(client, message(priority=priority))
        other = buried(client, message(task_id="id-2"))
        said = []
        gone = False
        for step in steps:
            if step == "drop":
                client.xdel("celery-dead-orders", letter.id.partition("/")[2])
                gone = True
            else:
                said.append((not gone, replay(client, letter)))
                gone = True
        assert [expected for expected, _ in said] == [answer for _, answer in said]
        lists = ["orders", *(f"orders\x06\x16{step}" for step in (3, 6, 9))]
        assert sum(answer for _, answer in said) == sum(client.llen(name) for name in lists)  # type: ignore[misc]
        assert [other.id] == [one.id for one in read(client)]


@pytest.mark.integration
def test_the_marker_of_publish_once_does_not_stop_a_replay(client: redis.Redis) -> None:
    client.set("celery-once-id-1", "queued:0123456789abcdef")

    assert replay(client, buried(client, message()))
    assert 1 == client.llen("orders")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("raw", "reason"),
    [(message(), Reason.UNDECODABLE), (b"\xff", Reason.UNDECODABLE), (b"{}", Reason.PERMANENT)],
    ids=["said to be", "is", "is, though it is said otherwise"],
)
def test_an_undecodable_letter_is_never_replayed_and_stays(client: redis.Redis, raw: bytes, reason: Reason) -> None:
    letter = buried(client, raw, reason)

    with pytest.raises(Unreadable):
        replay(client, letter)

    assert letter == find(client, letter.id)
    assert 0 == client.llen("orders")


@pytest.mark.integration
def test_a_letter_of_a_list_has_no_message_to_replay(client: redis.Redis) -> None:
    buried(client, message())

    with pytest.raises(ValueError, match="find"):
        replay(client, next(read(client)))


@pytest.mark.integration
def test_a_full_redis_refuses_and_the_letter_stays(redis_to_break: Any) -> None:
    with redis.Redis(port=redis_to_break.port) as client:
        raw = message()
        letter = buried(client, raw)
        client.hset("celery-starts", tag(raw), 3)  # type: ignore[arg-type]
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)

        with pytest.raises(redis.ResponseError, match="maxmemory"):
            replay(client, letter)

        assert letter == find(client, letter.id)
        assert (0, b"3") == (client.llen("orders"), client.hget("celery-starts", tag(raw)))
        client.config_set("maxmemory", 0)
        assert replay(client, letter)


@pytest.mark.integration
def test_what_is_no_list_keeps_the_letter(client: redis.Redis) -> None:
    letter = buried(client, message())
    client.set("orders", "not a list")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        replay(client, letter)

    assert letter == find(client, letter.id)


@pytest.mark.integration
def test_after_a_script_flush_it_works_all_the_same(client: redis.Redis) -> None:
    first, second = buried(client, message()), buried(client, message(task_id="id-2"))
    assert replay(client, first)
    client.script_flush()

    assert replay(client, second)
    assert [] == list(read(client))


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """A worker in this process leaves the logging of other tests alone."""

    def receiver(**_: Any) -> None:
        pass

    signals.setup_logging.connect(receiver)
    yield
    signals.setup_logging.disconnect(receiver)


@pytest.mark.integration
@pytest.mark.usefixtures("kept_logging")
@pytest.mark.filterwarnings("ignore:Call to deprecated")  # Celery calls SETEX
def test_a_stock_worker_runs_what_was_replayed(client: redis.Redis, redis_url: str) -> None:
    from celery.contrib.testing.worker import start_worker

    app = Celery("stock", broker=redis_url, backend=redis_url, set_as_current=False)

    @app.task(name="tasks.echo", shared=False)
    def echo(value: Any) -> Any:
        return value

    task_id = str(uuid.uuid4())
    app.send_task("tasks.echo", args=[ORDER], queue="celery", task_id=task_id, retries=2, priority=3)
    raw = client.rpop("celery\x06\x163")
    assert isinstance(raw, bytes)
    assert replay(client, buried(client, raw, queue="celery"))

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        assert ORDER == app.AsyncResult(task_id).get(timeout=20)
