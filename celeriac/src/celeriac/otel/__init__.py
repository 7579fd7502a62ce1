"""OpenTelemetry: spans and metrics of every message. Needs the extra: `pip install 'celeriac[otel]'`."""

import os
from importlib.metadata import version
from typing import Any

from celery import signals
from opentelemetry import metrics, trace

from celeriac.events import ignore, on_event
from celeriac.otel.measures import Measures
from celeriac.otel.spans import Spans
from celeriac.publish.sending import LOOKING

__all__ = ["Instrumentor", "instrument", "uninstrument"]

_on: list[Spans] = []


def instrument(
    *,
    parent: bool = False,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> None:
    """Make spans and metrics of every message of this process from here on, of all its apps. To call it twice changes
    nothing.

    A run begins a trace of its own, which is linked to the span that sent its message; with `parent`, it is a child of
    that span. Without providers, those of the process are taken. Where opentelemetry-instrumentation-celery is on, its
    spans stay as they are, and ours are only those of settling."""
    if _on:
        return
    release = version("celeriac")
    spans = Spans(
        trace.get_tracer("celeriac", release, tracer_provider), Measures(meter_provider, release), parent=parent
    )
    _on.append(spans)
    LOOKING.begin = spans.send
    signals.task_prerun.connect(spans.prerun, weak=False)
    signals.task_postrun.connect(spans.postrun, weak=False)
    on_event(spans.heard)


def uninstrument() -> None:
    """Make none any more."""
    for spans in _on:
        LOOKING.begin = None
        signals.task_prerun.disconnect(spans.prerun)
        signals.task_postrun.disconnect(spans.postrun)
        ignore(spans.heard)
    _on.clear()


class Instrumentor:
    """What the command `opentelemetry-instrument` calls. CELERY_OTEL=parent chooses."""

    def instrument(self, **_: Any) -> None:
        instrument(parent=os.environ.get("CELERY_OTEL") == "parent")

    def uninstrument(self, **_: Any) -> None:
        uninstrument()
