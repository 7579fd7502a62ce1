"""Spans and metrics by OpenTelemetry's conventions for messaging, with the real SDK."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celeriac.tests import tracing
from celeriac.tests.conftest import RunningWorker, start_worker
from celeriac.tests.otel import sdk  # before what it has
from celery import Celery, chain
from celery.app.task import Context
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from celeriac import correlation, otel
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.errors import PermanentError, QueueFull
from celeriac.otel.measures import Measures
from celeriac.otel.spans import Spans
from celeriac.outcome.commit import OPEN, Commit
from celeriac.publish.of_app import publisher_of

pytestmark = pytest.mark.integration

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{ID}-{SPAN}-01"
SCRIPT = str(Path(tracing.__file__))


class Exported:
    """What this process, which publishes, and the worker have exported."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.client.flushdb()
        self.here, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self.reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.here))

    def spans(self, *names: str) -> list[dict[str, Any]]:
        """These, as soon as they are there, in order; and no others."""
        deadline = time.monotonic() + 15
        while True:
            found = [tracing.shown(one) for one in self.here.get_finished_spans()]
            found += [json.loads(one) for one in self.client.lrange(tracing.SPANS, 0, -1)]
            if sorted(names) == sorted(one["name"] for one in found):
                return [next(one for one in found if one["name"] == name) for name in names]
            assert time.monotonic() < deadline, [one["name"] for one in found]
            time.sleep(0.02)

    def metrics(self, name: str, data: str | None = None) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and data of each point."""
        text = data or self.reader.get_metrics_data().to_json()  # type: ignore[union-attr]  # something was measured
        return [
            (point["attributes"], point)
            for resource in json.loads(text)["resource_metrics"]
            for scope in resource["scope_metrics"]
            for one in scope["metrics"]
            if one["name"] == name
            for point in one["data"]["data_points"]
        ]

    def of_the_worker(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        text = self.client.get(tracing.METRICS)
        return self.metrics(name, text.decode()) if text else []


@pytest.fixture(scope="module")
def workers(redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`workers("links")` is the URL of a worker that is traced so."""
    running: dict[str, RunningWorker] = {}

    def url_of(how: str) -> str:
        url = f"redis://127.0.0.1:{redis_server.port}/{9 + len(running)}"
        if how not in running:
            pool = "prefork" if "prefork" in how else "threads"
            folder = tmp_path_factory.mktemp("otel")
            running[how] = start_worker([SCRIPT], url, folder, TRACING=how, WORKER_POOL=pool, **sdk.ENVIRONMENT)
            running[how].environment["url"] = url
            running[how].wait_until_ready()
        return running[how].environment["url"]

    yield url_of
    for worker in running.values():
        worker.stop()


@pytest.fixture
def tell(workers: Callable[..., str]) -> Iterator[Callable[..., Any]]:
    """Whoever publishes is traced in the same way."""

    @contextmanager
    def traced(how: str, *, theirs_here: bool = False) -> Iterator[tuple[Exported, Celery]]:
        exported = Exported(workers(how))
        app = make_app("shop", CelerySettings(broker_url=workers(how)))
        otel.instrument(tracer_provider=exported.tracers, meter_provider=exported.meters)
        if theirs_here:
            CeleryInstrumentor().instrument(tracer_provider=exported.tracers)
        try:
            yield exported, app
        finally:
            if theirs_here:
                CeleryInstrumentor().uninstrument()
            otel.uninstrument()
            publisher: Any = publisher_of(app)
            publisher._client.close()
            app.close()
            exported.client.close()

    return traced  # type: ignore[return-value]  # pytest takes it as it is


def place(span: dict[str, Any]) -> str:
    return f"{span['trace']}-{span['id']}"


def test_by_default_a_run_is_linked_to_what_sent_its_message(tell: Any) -> None:
    with tell("links") as (exported, app), correlation.bind("shop-42", traceparent=GIVEN):
        sent_id = tracing.job.bind(app).delay(tracing.Job()).id
        send, process, settle = exported.spans("send tracing", "process tracing", "settle tracing")

    assert [(ID, SPAN), "PRODUCER"] == [(send["trace"], send["parent"]), send["kind"]]
    assert ["CONSUMER", "", [place(send)]] == [process["kind"], process["parent"], process["links"]]
    assert ID != process["trace"]
    assert ["CLIENT", process["id"], [place(send)]] == [settle["kind"], settle["parent"], settle["links"]]
    common = {
        "messaging.system": "celery",
        "messaging.destination.name": "tracing",
        "messaging.message.id": sent_id,
        "messaging.message.conversation_id": "shop-42",
        "celery.task_name": "tracing.job",
    }
    for name, span in (("send", send), ("process", process), ("settle", settle)):
        wanted = common | {"messaging.operation.name": name, "messaging.operation.type": name}
        assert wanted == {key: span["attributes"][key] for key in wanted}
    assert ("SUCCESS", 0) == (process["attributes"]["celery.state"], process["attributes"]["celery.retries"])
    assert {"celeriac"} == {one["scope"] for one in (send, process, settle)}


def test_with_parent_a_request_and_all_that_it_causes_are_one_trace(tell: Any) -> None:
    with tell("parent") as (exported, app), correlation.bind(traceparent=GIVEN):
        tracing.job.bind(app).delay(tracing.Job(then=("one",)))
        names = ("send tracing", "process tracing", "settle tracing", "send mails", "process mails", "settle mails")
        spans = send, process, _, child, run, _ = exported.spans(*names)

    assert {ID} == {one["trace"] for one in spans}
    assert [SPAN, send["id"], process["id"], child["id"]] == [one["parent"] for one in (send, process, child, run)]
    assert [child["id"]] == [link[-16:] for link in run["links"]]


def test_a_retry_is_the_same_message_again(tell: Any) -> None:
    with tell("links") as (exported, app):
        tracing.job.bind(app).delay(tracing.Job(what="retries")).get(timeout=15)
        twice = ["process tracing", "settle tracing"]
        exported.spans("send tracing", *twice, *twice)
        spans = [json.loads(one) for one in exported.client.lrange(tracing.SPANS, 0, -1)]
    first, second = (one for one in spans if one["name"] == "process tracing")

    assert first["links"] == second["links"]
    assert ("RETRY", "TransientError", "ERROR") == (
        *(first["attributes"][name] for name in ("celery.state", "error.type")),
        first["status"],
    )
    assert ("SUCCESS", 1, "UNSET") == (
        *(second["attributes"][name] for name in ("celery.state", "celery.retries")),
        second["status"],
    )


def test_so_is_a_retry_that_celery_itself_publishes(tell: Any) -> None:
    with tell("links") as (exported, app):
        app.send_task("tracing.plain", ("retries",), queue=tracing.QUEUE)
        twice = ["process tracing", "settle tracing"]
        exported.spans("send tracing", *twice, *twice)
        spans = [json.loads(one) for one in exported.client.lrange(tracing.SPANS, 0, -1)]
    first, second = (one for one in spans if one["name"] == "process tracing")

    assert first["links"] == second["links"]
    assert ["ValueError", None] == [one["attributes"].get("error.type") for one in (first, second)]


def test_a_failure_is_an_error_of_its_run_and_its_outcome_is_settled(tell: Any) -> None:
    with tell("links") as (exported, app):
        with pytest.raises(PermanentError):
            tracing.job.bind(app).delay(tracing.Job(what="fails")).get(timeout=15)
        _, process, settle = exported.spans("send tracing", "process tracing", "settle tracing")

    assert ("ERROR", "PermanentError") == (process["status"], process["attributes"]["error.type"])
    assert "UNSET" == settle["status"]


def test_an_error_shows_no_password(tell: Any) -> None:
    with tell("links") as (exported, app):
        app.send_task("tracing.plain", ("leaks",), queue=tracing.QUEUE)
        _, process, _ = exported.spans("send tracing", "process tracing", "settle tracing")

    assert "cannot connect to redis" in process["said"]
    assert "Traceback" in process["said"]
    assert "hunter2" not in process["said"]


def test_a_chain_and_plain_tasks_have_spans_too(tell: Any) -> None:
    with tell("parent") as (exported, app), correlation.bind(traceparent=GIVEN):
        plain = app.signature("tracing.plain", queue=tracing.QUEUE, ignore_result=True)
        chain(plain.clone(("one",)), plain.clone())()
        trio = ["send tracing", "process tracing", "settle tracing"]
        exported.spans(*trio, *trio)
        sent = [one.context.trace_id for one in exported.here.get_finished_spans()]
        spans = [json.loads(one) for one in exported.client.lrange(tracing.SPANS, 0, -1)]

    assert [int(ID, 16)] == sent
    assert {ID} == {one["trace"] for one in spans}


def test_a_publish_that_fails_is_an_error_of_its_span(tell: Any) -> None:
    with tell("links") as (exported, _):
        url = exported.client.connection_pool.connection_kwargs
        full = make_app(
            "shop", CelerySettings(broker_url=f"redis://{url['host']}:{url['port']}/{url['db']}", queue_bound=1)
        )
        exported.client.lpush("full", "{}")
        with pytest.raises(QueueFull):
            tracing.mail.bind(full).apply_async(tracing.Job(), queue="full")
        [span] = exported.spans("send full")
        points = exported.metrics("messaging.client.sent.messages")
        publisher: Any = publisher_of(full)
        publisher._client.close()
        full.close()

    assert ("ERROR", "QueueFull") == (span["status"], span["attributes"]["error.type"])
    assert [("QueueFull", 1)] == [(attributes["error.type"], point["value"]) for attributes, point in points]


def test_many_at_once_have_a_span_each(tell: Any) -> None:
    with tell("links") as (exported, app):
        tracing.job.bind(app).publish_many([tracing.Job() for _ in range(3)], queue="nobody")
        exported.spans(*3 * ["send nobody"])
        headers = [json.loads(raw)["headers"] for raw in exported.client.lrange("nobody", 0, -1)]
        made = {place(tracing.shown(one)) for one in exported.here.get_finished_spans()}

    assert made == {one["traceparent"][3:-3] for one in headers}


def test_a_message_whose_caller_gives_it_a_trace_keeps_it(tell: Any) -> None:
    with tell("links") as (exported, app):
        tracing.job.bind(app).apply_async(tracing.Job(), queue="nobody", headers={"traceparent": GIVEN})
        [raw] = exported.client.lrange("nobody", 0, -1)

    assert GIVEN == json.loads(raw)["headers"]["traceparent"]


def test_durations_are_measured_from_half_a_millisecond_on(tell: Any) -> None:
    with tell("links") as (exported, app):
        tracing.job.bind(app).delay(tracing.Job()).get(timeout=15)
        [(attributes, sent)] = exported.metrics("messaging.client.operation.duration")
        deadline = time.monotonic() + 10
        while (
            not (settled := exported.of_the_worker("messaging.client.operation.duration"))
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        [(_, run), *_] = exported.of_the_worker("messaging.process.duration")

    assert {
        "messaging.system": "celery",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "tracing",
    } == attributes
    assert (0.0005, 1) == (sent["explicit_bounds"][0], sent["count"])
    assert {"settle"} == {one["messaging.operation.name"] for one, _ in settled if one["messaging.destination.name"]}
    assert run["count"] >= 1


@pytest.mark.parametrize("order", ["theirs and links", "links"])
def test_beside_celerys_own_instrumentation_no_span_is_made_twice(tell: Any, order: str) -> None:
    theirs = "theirs" in order
    with tell(order, theirs_here=theirs) as (exported, app):
        tracing.job.bind(app).delay(tracing.Job(then=("one",)))
        names = [
            "apply_async/tracing.job",
            "apply_async/tracing.mail",
            "run/tracing.job",
            "run/tracing.mail",
            "settle mails",
            "settle tracing",
        ]
        if not theirs:
            names = [f"{one} {queue}" for one in ("send", "process", "settle") for queue in ("tracing", "mails")]
        exported.spans(*names)


def test_in_prefork_there_are_spans_of_sending_and_processing(tell: Any) -> None:
    with tell("parent, prefork") as (exported, app):
        tracing.job.bind(app).delay(tracing.Job(then=("one",)))
        send, process, child, run = exported.spans("send tracing", "process tracing", "send mails", "process mails")

    assert [send["id"], process["id"], child["id"]] == [one["parent"] for one in (process, child, run)]


def test_traces_of_the_callers_library_are_the_parents_of_what_it_sends(tell: Any) -> None:
    with tell("links") as (exported, app):
        tracer = trace.get_tracer("mine", tracer_provider=exported.tracers)
        with tracer.start_as_current_span("POST /orders") as request:
            tracing.job.bind(app).apply_async(tracing.Job(), queue="nobody")
        send, _ = exported.spans("send nobody", "POST /orders")

    assert f"{request.get_span_context().span_id:016x}" == send["parent"]


def test_the_command_of_opentelemetry_turns_it_on() -> None:
    agent = sdk.FOLDER / "bin" / "opentelemetry-instrument"
    program = "from celeriac.publish.sending import LOOKING; print(LOOKING.begin.__self__.parent)"
    command = [str(agent), sys.executable, "-c", program]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **sdk.ENVIRONMENT, "CELERY_OTEL": "parent"},
    )

    assert "True" == run.stdout.strip()


# redis-py imports it wherever it is installed. So this is about who asks for it.
QUIET = """
import builtins
import runpy
import sys
real, asked = builtins.__import__, set()
def spy(name, globals=None, *rest, **more):
    if name.startswith("opentelemetry"):
        asked.add((globals or {}).get("__name__", "").partition(".")[0])
    return real(name, globals, *rest, **more)
builtins.__import__ = spy
from celeriac.app.settings import CelerySettings
tracing = runpy.run_path(sys.argv[1])
app = tracing["app_of"](CelerySettings(broker_url=sys.argv[2]))
tracing["job"].bind(app).apply_async(tracing["Job"](), queue="quiet")
import celeriac.run.runner, celeriac.worker.service, celeriac.claim.transport
print(sorted(asked - {"redis", "opentelemetry"}), "celeriac.otel" in sys.modules)
"""


def test_without_a_word_of_it_nothing_of_opentelemetry_is_imported(redis_url: str) -> None:
    command = [sys.executable, "-c", QUIET, SCRIPT, redis_url]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **sdk.ENVIRONMENT})

    assert "[] False" == run.stdout.splitlines()[-1]


def test_whatever_else_runs_in_a_checkout_does_not_load_the_sdk() -> None:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", "import redis, sys; print('opentelemetry.sdk' in sys.modules)"]

    assert "False\n" == subprocess.run(command, capture_output=True, text=True, check=True, env=clean).stdout


# Without processes


RUN = SimpleNamespace(
    name="tracing.job",
    request=Context({"id": "t-1", "root_id": "t-1", "retries": 0, "delivery_info": {"routing_key": "tracing"}}),
)


@pytest.fixture
def spans() -> Iterator[tuple[Any, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = Spans(provider.get_tracer("test"), Measures(MeterProvider(), "0"), parent=False)
    yield made, exporter
    OPEN.commit = None


@pytest.mark.parametrize(("event", "error"), [("outcome.refused", "refused"), ("outcome.repeated", None)])
def test_an_outcome_that_redis_refuses_is_an_error_of_its_settling(spans: Any, event: str, error: str | None) -> None:
    made, exporter = spans
    OPEN.commit = commit = Commit("tag", "t-1")
    made.prerun(RUN)
    made.postrun("t-1", "SUCCESS", None)
    made.heard("task.started", {"task_id": "t-1"})
    made.heard("outcome.waits", {})
    made.heard(event, {"task_id": "t-1"})

    settle = exporter.get_finished_spans()[-1]
    assert ("settle tracing", error) == (settle.name, (settle.attributes or {}).get("error.type"))
    assert commit.after


def test_nothing_is_kept_of_an_outcome_that_nobody_told_of(spans: Any) -> None:
    made, _ = spans
    OPEN.commit = Commit("tag", "t-1")
    made.prerun(RUN)
    made.postrun("t-1", "IGNORED", None)
    assert 1 == len(made._settling)
    OPEN.commit = None
    gc.collect()

    assert 0 == len(made._settling)


def test_a_run_whose_end_was_not_told_is_the_current_span_no_more(spans: Any) -> None:
    made, _ = spans
    made.prerun(RUN)
    made.prerun(RUN)
    made.postrun("t-1", "SUCCESS", None)

    assert not trace.get_current_span().get_span_context().is_valid
