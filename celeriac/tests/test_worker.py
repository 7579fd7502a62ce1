"""Contracts on a real worker and a real Redis: results, errors, retries, outcomes, chains."""

import json
import time
import uuid
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord, group

from celeriac import correlation
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, celery_settings
from celeriac.contract.contract import Contract
from celeriac.errors import PermanentError, TransientError, ValidationError
from celeriac.http.progress import Progress, State, progress_of
from celeriac.message.frame import frame
from celeriac.publish.of_app import publisher_of

pytestmark = pytest.mark.integration


@pytest.fixture
def app(worker_url: str, misbehaving_worker: Any) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=worker_url))
    yield app
    publisher: Any = publisher_of(app)
    publisher._client.close()
    app.close()
    app.backend.result_consumer.stop()
    app.backend.result_consumer._pubsub = None  # results of groups would unsubscribe when this Redis is long gone


@pytest.fixture
def broker(worker_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(worker_url) as client:
        client.delete("notes")
        yield client


def misbehave(service: ModuleType, app: Celery, **plan: Any) -> Any:
    contract: Contract[Any, Any] = service.misbehave
    return contract.bind(app).delay(service.Plan(source_service="test", **plan))


def upper(service: ModuleType, app: Celery, text: str) -> Any:
    contract: Contract[Any, Any] = service.upper
    return contract.bind(app).s(service.Upper(source_service="test", text=text))


def fine(service: ModuleType, app: Celery) -> str:
    """What a good message after the bad ones gives."""
    return str(service.upper.bind(app).pending(upper(service, app, "fine").apply_async().id).get(timeout=10).text)


def told(worker: Any, task_id: str, event: str, count: int = 1) -> list[dict[str, Any]]:
    """The same, once there are so many: the end of a run is told when it is committed."""
    deadline = time.monotonic() + 5
    while len(found := events(worker, task_id, event)) < count:
        assert time.monotonic() < deadline, f"{event}: {len(found)} of {count} are told"
        time.sleep(0.01)
    return found


def events(worker: Any, task_id: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in worker.output().splitlines()]
    return [line for line in lines if line.get("task_id") == task_id and line["event"] == event]


def test_a_result_comes_back_as_its_model(misbehaving: ModuleType, app: Celery) -> None:
    pending = misbehave(misbehaving, app)
    assert misbehaving.Attempts(attempts=1) == pending.get(timeout=10)
    assert ("SUCCESS", True) == (pending.state, pending.ready())
    assert misbehaving.Attempts(attempts=1) == misbehaving.misbehave.bind(app).pending(pending.id).get(timeout=5)


def test_publishing_subscribes_to_nothing(misbehaving: ModuleType, app: Celery) -> None:
    misbehave(misbehaving, app)
    assert app.backend.result_consumer._pubsub is None


def test_no_result_in_time_is_a_timeout(misbehaving: ModuleType, app: Celery) -> None:
    with pytest.raises(TimeoutError, match=r"has no result after 0.1 s"):
        misbehaving.misbehave.bind(app).pending(uuid.uuid4()).get(timeout=0.1)


@pytest.mark.parametrize("how", ["transient", "connection", "timeout"])
def test_what_may_heal_is_tried_again(how: str, misbehaving: ModuleType, app: Celery, misbehaving_worker: Any) -> None:
    pending = misbehave(misbehaving, app, how=how, failures=2)
    assert 3 == pending.get(timeout=10).attempts
    retries = told(misbehaving_worker, pending.id, "task.retrying", 2)
    assert [0, 1] == [line["retries"] for line in retries]
    assert all(0 <= line["delay_seconds"] <= 0.01 for line in retries)


@pytest.mark.parametrize(
    ("how", "kind", "text", "attempts"),
    [
        ("transient", TransientError, "come back later", 4),
        ("connection", TransientError, r"ConnectionRefusedError: \[Errno 111\] refused", 4),
        ("permanent", PermanentError, "^never$", 1),
        ("validation", ValidationError, "^not like this$", 1),
        ("type", TypeError, "^a str is not an int$", 1),
        ("key", PermanentError, "^KeyError: 'gone'$", 2),
        ("awkward", PermanentError, "^Awkward: code 7$", 2),
        ("pydantic", ValidationError, "^1 field is wrong: text: ", 1),
        ("exit", PermanentError, "^SystemExit: 3$", 1),
        ("memory", PermanentError, "^MemoryError: all of it$", 1),
        ("secret", PermanentError, r"^cannot reach redis://\*\*\*@host:6379/0$", 1),
    ],
)
def test_an_error_reaches_the_caller_with_its_type_and_text(
    how: str,
    kind: type[Exception],
    text: str,
    attempts: int,
    misbehaving: ModuleType,
    app: Celery,
    broker: Any,
    misbehaving_worker: Any,
) -> None:
    pending = misbehave(misbehaving, app, how=how, failures=9)
    with pytest.raises(kind, match=text):
        pending.get(timeout=10)
    assert attempts == len(events(misbehaving_worker, pending.id, "task.started"))
    failed = told(misbehaving_worker, pending.id, "task.failed")
    assert ["error"] == [line["level"] for line in failed]
    stored = broker.get(f"celery-task-meta-{pending.id}")
    assert "hunter2" not in stored.decode() + misbehaving_worker.output()


def test_a_caller_sees_how_far_a_task_is_in_each_attempt(misbehaving: ModuleType, app: Celery, broker: Any) -> None:
    pending = misbehaving.walk.bind(app).delay(misbehaving.Plan(source_service="test", how="transient", failures=1))
    stock: Any = Celery("stock", broker=app.conf.broker_url, backend=app.conf.broker_url, set_as_current=False)
    states = []
    for _ in range(2):
        deadline = time.monotonic() + 10
        while stock.AsyncResult(str(pending.id)).state != "PROGRESS":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        states.append((stock.AsyncResult(str(pending.id)).info, progress_of(misbehaving.walk.bind(app), pending.id)))
        broker.delete(stock.backend.get_key_for_task(str(pending.id)))
        broker.rpush(f"seen-{pending.id}", "go")
    assert 2 == pending.get(timeout=10).attempts
    assert (
        2 * [({"progress": 0.5, "note": "half way"}, Progress(State.STARTED, progress=0.5, note="half way"))] == states
    )
    stock.close()


def test_a_failed_task_publishes_nothing(misbehaving: ModuleType, app: Celery, broker: Any) -> None:
    with pytest.raises(PermanentError):
        misbehave(misbehaving, app, how="permanent", failures=1).get(timeout=10)
    assert 0 == broker.llen("notes")


def test_children_are_published_once_and_only_by_the_run_that_succeeds(
    misbehaving: ModuleType, app: Celery, broker: Any
) -> None:
    pending = misbehave(misbehaving, app, how="transient", failures=2)
    pending.get(timeout=10)
    messages = [json.loads(raw) for raw in broker.lrange("notes", 0, -1)]
    assert [str(uuid.uuid5(uuid.UUID(pending.id), "test.note:0"))] == [one["headers"]["id"] for one in messages]
    assert [pending.id] == [one["headers"]["parent_id"] for one in messages]


def test_a_message_that_is_queued_twice_has_its_children_once(
    misbehaving: ModuleType, app: Celery, broker: Any, misbehaving_worker: Any
) -> None:
    task_id = str(uuid.uuid4())
    plan = {"source_service": "test", "task_id": task_id}
    for _ in range(2):  # a stock publisher whose first answer was lost
        app.send_task("test.misbehave", args=[plan], task_id=task_id, queue="test")
    deadline = time.monotonic() + 10
    while not events(misbehaving_worker, task_id, "outcome.repeated") or broker.hlen("unacked"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 1 == broker.llen("notes")


def test_chain_group_and_chord_run_contracts(misbehaving: ModuleType, app: Celery) -> None:
    one, two = upper(misbehaving, app, "one"), upper(misbehaving, app, "two")
    again, join = misbehaving.upper.bind(app), misbehaving.join.bind(app)
    assert "ONE" == again.pending(chain(one, again.partial())().id).get(timeout=10).text
    both = group(one.clone(), two.clone())()
    assert ["ONE", "TWO"] == [again.pending(result.id).get(timeout=10).text for result in both.results]
    joined = chord([one.clone(), two.clone()], join.partial())()
    assert "ONE TWO" == join.pending(joined.id).get(timeout=10).text


def test_one_correlation_id_goes_through_retries_chains_and_children(
    misbehaving: ModuleType, app: Celery, broker: Any, misbehaving_worker: Any
) -> None:
    with correlation.bind("request-7"):
        pending = misbehave(misbehaving, app, how="transient", failures=2)
        linked = chain(upper(misbehaving, app, "one"), misbehaving.upper.bind(app).partial())()
    pending.get(timeout=10)
    misbehaving.upper.bind(app).pending(linked.id).get(timeout=10)
    for task_id, starts in ((pending.id, 3), (linked.parent.id, 1), (linked.id, 1)):
        lines = events(misbehaving_worker, task_id, "task.started")
        assert ["request-7"] * starts == [line["correlation_id"] for line in lines]
    child = json.loads(broker.lindex("notes", 0))
    assert "request-7" == child["headers"]["x_correlation_id"]


def test_the_time_in_the_queue_is_told_without_the_countdown(
    misbehaving: ModuleType, app: Celery, misbehaving_worker: Any
) -> None:
    contract: Contract[Any, Any] = misbehaving.upper
    pending = contract.bind(app).apply_async(misbehaving.Upper(source_service="test", text="a"), countdown=1.5)
    pending.get(timeout=10)
    assert 0 <= events(misbehaving_worker, pending.id, "task.started")[0]["queue_seconds"] < 1.2


def test_the_time_in_the_queue_of_a_retry_is_its_own(
    misbehaving: ModuleType, app: Celery, broker: Any, misbehaving_worker: Any
) -> None:
    task_id = str(uuid.uuid4())
    plan = {"source_service": "test", "task_id": task_id, "how": "transient", "failures": 1}
    headers = {"published_at": time.time() - 100}
    broker.lpush("test", frame("test.misbehave", "test", [plan], task_id=task_id, headers=headers))
    misbehaving.misbehave.bind(app).pending(task_id).get(timeout=10)
    first, second = (line["queue_seconds"] for line in events(misbehaving_worker, task_id, "task.started"))
    assert first >= 100
    assert 0 <= second < 50


def test_broken_messages_do_not_kill_the_worker(
    misbehaving: ModuleType, app: Celery, broker: Any, misbehaving_worker: Any
) -> None:
    """What stock Celery survives; raw rubbish in a list is for a transport of our own."""
    wrong: list[tuple[str, Any, Any]] = [
        ("test.unknown", [{}], {}),
        ("test.upper", [], {}),
        ("test.upper", [7], {}),
        ("test.upper", [{"text": 1}], {}),
        ("test.upper", [{}, {}, {}], {}),
        ("test.upper", [], {"colour": "red"}),
    ]  # the first is unknown here
    sent = [app.send_task(name, args=args, kwargs=kwargs, queue="test") for name, args, kwargs in wrong]
    for result, kind in zip(sent[1:], [ValidationError] * 5, strict=True):
        with pytest.raises(kind):
            misbehaving.upper.bind(app).pending(result.id).get(timeout=10)
    assert "FINE" == fine(misbehaving, app)
    assert misbehaving_worker.process.poll() is None
    letters = [json.loads(entry[b"about"]) for _, entry in broker.xrange("celery-dead-test")]
    assert {sent[0].id: "unknown-task"} == {
        one["task_id"]: one["reason"] for one in letters if one["task_id"] == sent[0].id
    }


def test_pickle_is_refused_and_kept(misbehaving: ModuleType, app: Celery, broker: Any) -> None:
    args = [{"source_service": "x", "text": "a"}]
    sent = app.send_task("test.upper", args=args, queue="test", serializer="pickle")
    assert "FINE" == fine(misbehaving, app)
    letters = [json.loads(entry[b"about"]) for _, entry in broker.xrange("celery-dead-test")]
    assert ["undecodable"] == [one["reason"] for one in letters if one["task_id"] == sent.id]


def test_a_running_worker_uses_the_settings_of_the_table(worker_url: str, app: Celery, misbehaving_worker: Any) -> None:
    (conf,) = app.control.inspect(timeout=5, limit=1).conf(with_defaults=True).values()
    expected = celery_settings(CelerySettings(broker_url=worker_url))
    secret = {"broker_url", "broker_read_url", "broker_write_url", "result_backend"}  # shown without what they hold
    expected["task_routes"] = {name: {"queue": "test"} for name in conf["task_routes"]}
    assert "test.misbehave" in expected["task_routes"]
    shown = {name: conf.get(name) for name in expected if name not in secret}
    assert {name: value for name, value in expected.items() if name not in secret} == shown


def test_every_line_of_the_worker_is_json_and_an_event_is_told_once(
    misbehaving: ModuleType, app: Celery, misbehaving_worker: Any
) -> None:
    pending = misbehave(misbehaving, app)
    pending.get(timeout=10)
    deadline = time.monotonic() + 5
    while not events(misbehaving_worker, pending.id, "task.succeeded"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lines = [json.loads(line) for line in misbehaving_worker.output().splitlines()]
    assert {"misbehaving"} == {line["service"] for line in lines}
    ours = [line["event"] for line in lines if line.get("task_id") == pending.id or pending.id in line["event"]]
    assert ["task.started", "task.succeeded"] == ours


def test_a_duplicate_leaves_the_first_result_as_it_is(
    misbehaving: ModuleType, app: Celery, broker: Any, misbehaving_worker: Any
) -> None:
    """The first copy succeeds; the second would fail (its attempts are counted in the worker), and says nothing."""
    task_id = str(uuid.uuid4())
    plan = {"source_service": "test", "task_id": task_id, "how": "permanent", "failures": 0}
    app.send_task("test.misbehave", args=[plan], task_id=task_id, queue="test")
    pending = misbehaving.misbehave.bind(app).pending(task_id)
    assert 1 == pending.get(timeout=10).attempts
    letters = broker.xlen("celery-dead-test")
    app.send_task("test.misbehave", args=[{**plan, "failures": 9}], task_id=task_id, queue="test")
    deadline = time.monotonic() + 10
    while not events(misbehaving_worker, task_id, "outcome.repeated") or broker.hlen("unacked"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ("SUCCESS", letters) == (pending.state, broker.xlen("celery-dead-test"))


@pytest.mark.parametrize("text", ["a\ud800", "null", "\x00\u2028😀"], ids=ascii)
def test_any_text_goes_there_and_back(misbehaving: ModuleType, app: Celery, text: str) -> None:
    contract: Contract[Any, Any] = misbehaving.upper
    pending = contract.bind(app).delay(misbehaving.Upper(source_service="test", text=text))
    assert text.upper() == pending.get(timeout=10).text
