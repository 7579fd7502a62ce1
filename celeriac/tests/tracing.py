"""A worker whose runs write down which trace they belong to, and which exports its spans and metrics to Redis. Run as a
script; TRACING says what makes spans: ours ("links", "parent"), theirs (with "theirs"), nothing ("")."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery

from celeriac import correlation, environment, logs
from celeriac.app.settings import CelerySettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker

QUEUE = "tracing"
RUNS, SPANS, METRICS = "runs", "spans", "metrics"


class Job(TaskPayload):
    source_service: str = "test"
    what: str = ""
    then: tuple[str, ...] = ()


class Done(TaskResult):
    what: str = ""
    then: tuple[str, ...] = ()


SOON = RetryPolicy(limit=2, cap_seconds=0.002, base_seconds=0.001)
job = Contract("tracing.job", QUEUE, Job, Done, retries=SOON)
mail = Contract("tracing.mail", "mails", Job, Done, retries=SOON)


def ran(task: str, what: str) -> None:
    here = correlation.trace()
    known = {"task": task, "what": what, "correlation_id": correlation.current(), **(here.headers if here else {})}
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]) as client:
        client.rpush(RUNS, json.dumps(known))


@implements(job)
def do_job(given: Job, outcome: Outcome) -> Done:
    ran("job", given.what)
    if given.what == "retries" and first_time(str(given.task_id)):
        raise TransientError("later")
    if given.what == "fails":
        raise PermanentError("no")
    for what in given.then:
        outcome.publish(mail, Job(what=what))
    return Done(what=given.what)


@implements(mail)
def send_mail(given: Job) -> Done:
    ran("mail", given.what)
    return Done(what=given.what)


def first_time(name: str) -> bool:
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]) as client:
        return bool(client.set(f"first-{name}", 1, nx=True))


def plain(self: Any, what: Any = "", *_: Any) -> str:
    ran("plain", str(what))
    if what == "retries" and self.request.retries == 0:
        raise self.retry(exc=ValueError("later"), countdown=0)
    if what == "publishes":
        self.app.tasks["tracing.plain"].apply_async(("child",), queue=QUEUE)
    if what == "fails":
        raise ValueError("no")
    if what == "leaks":
        raise ValueError("cannot connect to redis://:hunter2@db/0")
    return str(what)


def app_of(settings: CelerySettings) -> Celery:
    app = make_worker("tracing", [do_job, send_mail], settings)
    app.owned_queues = (QUEUE, "mails")  # type: ignore[attr-defined]  # an attribute of ours on the app
    app.task(name="tracing.plain", bind=True, max_retries=3)(plain)
    app.finalize()
    return app


def shown(span: Any) -> dict[str, Any]:
    """A span as the tests look at it."""
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.context.trace_id:032x}",
        "id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
        "links": [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links],
        "attributes": dict(span.attributes),
        "status": span.status.status_code.name,
        "said": f"{span.status.description} {[dict(one.attributes) for one in span.events]}",
        "seconds": (span.end_time - span.start_time) / 1e9,
        "scope": span.instrumentation_scope.name,
    }


def export_to_redis() -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    client = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])

    class Spans(SpanExporter):
        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            client.rpush(SPANS, *[json.dumps(shown(one)) for one in spans])
            return SpanExportResult.SUCCESS

    class Metrics(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
            client.set(METRICS, metrics_data.to_json())
            return MetricExportResult.SUCCESS

        def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
            """Nothing is held."""

        def force_flush(self, timeout_millis: float = 0) -> bool:
            return True

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Spans()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(Metrics(), 50)]))


if __name__ == "__main__":
    wanted = os.environ.get("TRACING", "")
    if wanted:
        export_to_redis()
    if "theirs" in wanted:
        from opentelemetry.instrumentation.celery import CeleryInstrumentor

        CeleryInstrumentor().instrument()
    if "links" in wanted or "parent" in wanted:
        from celeriac import otel

        otel.instrument(parent="parent" in wanted)
    logs.configure("tracing", "INFO", "json")
    sys.exit(run_worker(app_of(environment.load(CelerySettings)), environment.load(WorkerSettings)))
