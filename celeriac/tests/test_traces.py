"""A trace that a request brings goes on in everything that the request causes, without any library for tracing."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celeriac.tests import tracing
from celeriac.tests.conftest import RunningWorker, start_worker
from celery import Celery, Signature, chain, chord, group

from celeriac import correlation
from celeriac.app.client import make_app
from celeriac.app.installation import forget_installed, install
from celeriac.app.settings import CelerySettings
from celeriac.dead_letter import letters
from celeriac.dead_letter.replay import replay
from celeriac.errors import PermanentError
from celeriac.publish.of_app import publisher_of
from celeriac.publish.sending import LOOKING

pytestmark = pytest.mark.integration

ID = "0af7651916cd43dd8448eb211c80319c"
GIVEN, STATE = f"00-{ID}-b7ad6b7169203331-01", "shop=1"
SCRIPT = str(Path(__file__).parent / "tracing.py")


@pytest.fixture(scope="module")
def url(redis_server: Any) -> str:
    return f"redis://127.0.0.1:{redis_server.port}/7"


@pytest.fixture(scope="module")
def worker(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    worker = start_worker([SCRIPT], url, tmp_path_factory.mktemp("tracing"), WORKER_CONCURRENCY="2")
    worker.wait_until_ready()
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Celery]:
    made = make_app("shop", CelerySettings(broker_url=url))
    yield made
    publisher: Any = publisher_of(made)
    consumer: Any = made.backend.result_consumer  # type: ignore[attr-defined]  # celery-types does not know it
    consumer.stop()
    consumer._pubsub = None  # results that are collected later would connect again, to end what they listen to
    publisher._client.close()
    made.close()


class Runs:
    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.client.delete(tracing.RUNS)

    def all(self, count: int) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 15
        while len(found := self.client.lrange(tracing.RUNS, 0, -1)) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return [json.loads(one) for one in found]


@pytest.fixture
def runs(url: str, worker: RunningWorker) -> Iterator[Runs]:
    found = Runs(url)
    yield found
    found.client.close()


def of_the_request(found: list[dict[str, Any]]) -> bool:
    return {(GIVEN, STATE, "shop-42")} == {
        (one["traceparent"], one["tracestate"], one["correlation_id"]) for one in found
    }


@pytest.fixture
def a_request() -> Iterator[None]:
    with correlation.bind("shop-42", traceparent=GIVEN, tracestate=STATE):
        yield


@pytest.mark.usefixtures("a_request")
def test_the_trace_goes_on_in_follow_ups_and_retries(runs: Runs, app: Celery) -> None:
    job = tracing.job.bind(app)
    job.delay(tracing.Job(what="publishes", then=("one", "two")))
    job.delay(tracing.Job(what="retries"))

    found = runs.all(5)

    assert of_the_request(found)
    assert ["one", "publishes", "retries", "retries", "two"] == sorted(one["what"] for one in found)


@pytest.mark.usefixtures("a_request")
def test_the_trace_goes_on_in_canvas(runs: Runs, app: Celery) -> None:
    job, mail = tracing.job.bind(app), tracing.mail.bind(app)

    def plain(what: str) -> Signature[Any]:
        return app.signature("tracing.plain", (what,), queue=tracing.QUEUE, immutable=True)

    chain(job.s(tracing.Job(what="retries")), mail.partial())()
    group(plain("grouped"), job.s(tracing.Job(what="grouped")))()
    chord([plain("header"), plain("header")], plain("body"))()
    plain("linked").apply_async(link=plain("link"))
    plain("fails").apply_async(link_error=plain("errback"))

    found = runs.all(12)

    assert of_the_request(found)
    assert {"body", "link", "errback"} < {one["what"] for one in found}
    assert {"job", "mail", "plain"} == {one["task"] for one in found}


@pytest.mark.usefixtures("a_request")
def test_the_trace_goes_on_in_what_plain_tasks_publish_and_retry(runs: Runs, app: Celery) -> None:
    app.send_task("tracing.plain", ("publishes",), queue=tracing.QUEUE)
    app.send_task("tracing.plain", ("retries",), queue=tracing.QUEUE)

    found = runs.all(4)

    assert of_the_request(found)
    assert ["child", "publishes", "retries", "retries"] == sorted(one["what"] for one in found)


@pytest.mark.usefixtures("a_request")
def test_the_trace_outlives_a_dead_letter(runs: Runs, app: Celery) -> None:
    with pytest.raises(PermanentError):
        tracing.job.bind(app).delay(tracing.Job(what="fails")).get(timeout=15)
    [letter] = list(letters.read(runs.client, queue=tracing.QUEUE))
    whole = letters.find(runs.client, letter.id)
    assert whole is not None
    assert replay(runs.client, whole)

    assert of_the_request(runs.all(2))


@pytest.mark.usefixtures("a_request")
def test_the_errback_of_a_task_that_no_worker_has_belongs_to_the_request(runs: Runs, app: Celery) -> None:
    errback = app.signature("tracing.plain", ("errback",), queue=tracing.QUEUE, immutable=True)
    app.send_task("tracing.nobody", queue=tracing.QUEUE, link_error=errback)

    assert of_the_request(runs.all(1))


def test_without_a_trace_no_message_has_one(runs: Runs, app: Celery) -> None:
    tracing.job.bind(app).delay(tracing.Job(what="publishes", then=("one",)))
    app.send_task("tracing.plain", ("publishes",), queue=tracing.QUEUE)

    assert not [one for one in runs.all(4) if "traceparent" in one or "tracestate" in one]


def test_each_line_in_the_log_has_the_id_of_the_trace(runs: Runs, app: Celery, worker: RunningWorker) -> None:
    with correlation.bind("lines", traceparent=GIVEN):
        tracing.job.bind(app).delay(tracing.Job(what="publishes", then=("lines",))).get(timeout=15)
        tracing.job.bind(app).delay(tracing.Job(what="retries")).get(timeout=15)
        app.send_task("tracing.plain", ("publishes",), queue=tracing.QUEUE)
    runs.all(6)
    deadline = time.monotonic() + 10
    while True:
        lines = [json.loads(line) for line in worker.log.read_text().splitlines() if '"lines"' in line]
        ended = [line for line in lines if line["event"] == "task.succeeded"]
        if len(ended) == 5 or time.monotonic() > deadline:
            break
        time.sleep(0.02)

    assert {ID} == {line.get("trace_id") for line in lines}
    assert {"task.started", "task.published", "task.retrying", "task.succeeded"} == {line["event"] for line in lines}


def test_a_plain_app_on_celeriac_passes_it_on(url: str, redis_server: Any) -> None:
    app = install(Celery("theirs", broker=url, set_as_current=False))
    try:
        with correlation.bind(traceparent=GIVEN), app.connection_for_write() as connection:
            app.send_task("x", queue="nobody", connection=connection)
        with redis.Redis.from_url(url) as client:
            [raw] = client.lrange("nobody", 0, -1)
    finally:
        forget_installed()
        app.close()

    headers = json.loads(raw)["headers"]
    assert (GIVEN, ID) == (headers["traceparent"], headers["x_correlation_id"])


def test_a_traceparent_that_the_caller_gives_is_the_messages(runs: Runs, app: Celery) -> None:
    other = f"00-{'1' * 32}-{'2' * 16}-00"
    with correlation.bind("shop-42", traceparent=GIVEN):
        tracing.job.bind(app).apply_async(tracing.Job(), headers={"traceparent": other})
        app.send_task("tracing.plain", queue=tracing.QUEUE, headers={"traceparent": other})

    assert [other, other] == [one["traceparent"] for one in runs.all(2)]


def test_nobody_looks_at_messages_unless_told_to() -> None:
    assert LOOKING.begin is None
