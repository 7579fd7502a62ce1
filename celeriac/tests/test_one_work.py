"""One task_id is one piece of work, whatever the messages that carry it are called: a stock client asks real workers of
each kind."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import HERE, start_worker
from celery import Celery, chain, chord
from celery.result import AsyncResult

from celeriac.broker import keys
from celeriac.errors import PermanentError, TransientError

pytestmark = pytest.mark.integration

KINDS = {
    "threads": {"WORKER_POOL": "threads"},
    "prefork": {"WORKER_POOL": "prefork"},
    "stock transport": {"CELERY_TRANSPORT": "stock", "WORKER_POOL": "solo"},
}
URL_OF = {"threads": 6, "prefork": 7, "stock transport": 8}


@pytest.fixture(scope="module", params=list(KINDS))
def worker(
    request: pytest.FixtureRequest, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    url = f"redis://127.0.0.1:{redis_server.port}/{URL_OF[request.param]}"
    folder = tmp_path_factory.mktemp("one-work")
    worker = start_worker([str(HERE / "misbehaving.py")], url, folder, LOG_LEVEL="info", **KINDS[request.param])
    worker.url, worker.kind = url, request.param
    worker.wait_until_ready()
    yield worker
    worker.stop()


@pytest.fixture
def stock(worker: Any) -> Iterator[Celery]:
    """A client that knows nothing of this repository."""
    with Celery(broker=worker.url, backend=worker.url) as app:
        app.conf.task_default_queue = "test"
        yield app
        app.backend.result_consumer.stop()
        app.backend.result_consumer._pubsub = None


@pytest.fixture
def broker(worker: Any) -> Iterator[Any]:
    with redis.Redis.from_url(worker.url) as client:
        deadline = time.monotonic() + 10
        while client.llen("test") or client.hlen(keys.UNACKED):  # what the test before has sent is to be over
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.flushdb()
        yield client


def ask(stock: Celery, message_id: str = "", task: str = "test.misbehave", **payload: Any) -> AsyncResult:
    message_id = message_id or str(uuid.uuid4())
    return stock.send_task(task, args=[{"source_service": "stock", **payload}], task_id=message_id, queue="test")


def notes(broker: Any) -> list[str]:
    return [json.loads(raw)["headers"]["id"] for raw in broker.lrange("notes", 0, -1)]


def letters(broker: Any) -> list[dict[str, Any]]:
    return [json.loads(fields[b"about"]) for _, fields in broker.xrange(keys.dead("test"))]


def test_two_messages_of_one_work_have_one_effect_and_each_caller_gets_a_result(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    first = ask(stock, task_id=work)
    assert {"attempts": 1} == first.get(timeout=10)
    second = ask(stock, task_id=work)
    assert second.get(timeout=10)["attempts"] in (1, 2)  # prefork counts for each child
    assert [str(uuid.uuid5(uuid.UUID(work), "test.note:0"))] == notes(broker)
    assert {"attempts": 1} == first.get(timeout=10)
    assert [keys.once(work).encode()] == broker.keys(keys.once("*"))


@pytest.mark.parametrize(
    "spell", [str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda work: work.replace("-", ""), uuid.UUID]
)
def test_however_the_id_is_spelt_it_is_the_same_work(stock: Celery, broker: Any, spell: Any) -> None:
    work = str(uuid.uuid4())
    ask(stock, task_id=work).get(timeout=10)
    ask(stock, task_id=spell(work)).get(timeout=10)
    assert 1 == len(notes(broker))
    assert [] == letters(broker)


def test_where_one_message_leaves_the_id_to_its_name_it_is_the_same_work(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    ask(stock, work).get(timeout=10)
    ask(stock, task_id=work).get(timeout=10)
    ask(stock, work, task_id=work).get(timeout=10)
    assert 1 == len(notes(broker))
    assert [] == letters(broker)


def test_two_works_under_one_message_id_are_two(stock: Celery, broker: Any) -> None:
    one, other, message_id = (str(uuid.uuid4()) for _ in range(3))
    ask(stock, message_id, task_id=one).get(timeout=10)
    ask(stock, message_id, task_id=other)
    deadline = time.monotonic() + 10
    while 2 > len(notes(broker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {str(uuid.uuid5(uuid.UUID(work), "test.note:0")) for work in (one, other)} == set(notes(broker))


def test_other_content_under_the_id_is_a_conflict_whatever_the_message_is_called(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    ask(stock, task_id=work).get(timeout=10)
    other = ask(stock, task_id=work, how="otherwise")
    deadline = time.monotonic() + 10
    while not letters(broker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [other.id] == [one["task_id"] for one in letters(broker)]
    assert 1 == len(notes(broker))


def test_what_is_done_cannot_fail_any_more_but_who_asked_again_is_told_how_it_went(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    plan = {"task_id": work, "how": "permanent", "failures": 99}
    broker.set(keys.once(work), "done:" + "0" * 16)
    with pytest.raises(PermanentError):
        ask(stock, **plan).get(timeout=10)
    assert [] == letters(broker)
    assert b"done:" + b"0" * 16 == broker.get(keys.once(work))


def test_a_run_that_fails_for_now_is_tried_again_also_where_the_work_is_done(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    broker.set(keys.once(work), "done:" + "0" * 16)
    with pytest.raises(TransientError):
        ask(stock, task_id=work, how="transient", failures=99).get(timeout=10)
    assert [] == letters(broker)


def test_a_wrong_payload_is_not_the_work_that_it_names(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    ask(stock, task_id=work).get(timeout=10)
    wrong = ask(stock, task_id=work, failures="many")
    with pytest.raises(Exception, match="wrong payload"):
        wrong.get(timeout=10)
    assert [wrong.id] == [one["task_id"] for one in letters(broker)]


def test_what_hangs_on_the_second_message_goes_on(stock: Celery, broker: Any) -> None:
    work, text = str(uuid.uuid4()), {"source_service": "stock", "text": "a"}
    ask(stock, task="test.upper", task_id=work, text="a").get(timeout=10)

    def again(**more: Any) -> Any:
        return stock.signature("test.upper", args=[text | {"task_id": work}], queue="test", **more)

    plain = stock.signature("test.upper", queue="test")
    assert "A" == chain(again(), plain)().get(timeout=10)["text"]
    joined = chord([again(), again()], stock.signature("test.join", queue="test"))()
    assert "A A" == joined.get(timeout=10)["text"]
    assert [] == letters(broker)


def test_the_id_of_a_message_may_be_any_text(stock: Celery, broker: Any) -> None:
    work = str(uuid.uuid4())
    assert {"attempts": 1} == ask(stock, "order 7, again", task_id=work).get(timeout=10)
    told = stock.send_task("test.join", args=[[{"text": "a"}]], task_id="no uuid", queue="test")
    assert "a" == told.get(timeout=10)["text"]
