"""Spans of messages, by OpenTelemetry's conventions for messaging: `send`, `process`, `settle`."""

import sys
import threading
import traceback
import weakref
from collections.abc import Mapping
from time import perf_counter_ns, time_ns
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from celeriac import correlation
from celeriac.otel.measures import Measures
from celeriac.outcome.commit import OPEN
from celeriac.redaction import redact
from celeriac.trace_context import Trace

SYSTEM = "celery"  # whose queues, ids and headers these are, whatever broker is below
THEIRS = "opentelemetry.instrumentation.celery"
NANO = 1_000_000_000
# An outcome that Redis has not taken -> `error.type`. A repeated one is no error: its message is acknowledged.
NOT_TAKEN = {"outcome.refused": "refused", "outcome.repeated": ""}


def theirs() -> bool:
    """Whether opentelemetry-instrumentation-celery makes spans of sending and processing. Then we make none of them."""
    module: Any = sys.modules.get(THEIRS)
    return module is not None and bool(module.CeleryInstrumentor().is_instrumented_by_opentelemetry)


def _operation(name: str, queue: str) -> dict[str, Any]:
    """What spans and metrics of an operation have in common."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": name,
        "messaging.destination.name": queue,
    }


def _message(task: str, task_id: str, correlation_id: Any) -> dict[str, Any]:
    """What spans say of one message."""
    return {
        "messaging.message.id": task_id,
        "messaging.message.conversation_id": str(correlation_id),
        "celery.task_name": task,
    }


class _Headers(Getter[Any]):
    """The headers of a message, of Celery's request or of a dictionary. A stock client may have written anything."""

    def get(self, carrier: Any, key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: Any) -> list[str]:
        return []


HEADERS = _Headers()


def _context_of(headers: Any) -> context.Context:
    """Where a message was made, and nothing of what runs here."""
    return propagate.extract(headers, context.Context(), HEADERS)


class Sending:
    """The span of a message on its way to its queue. Its context is the message's creation context."""

    def __init__(self, of: "Spans", task: str, queue: str, message: dict[str, Any], around: Trace | None) -> None:
        self._of, self._attributes, self._begun = of, _operation("send", queue), perf_counter_ns()
        self._span: Span | None = None
        self.headers: Mapping[str, str] = around.headers if around else {}
        if theirs():
            return
        here = context.get_current()
        if around is not None and not trace.get_current_span(here).get_span_context().is_valid:
            here = _context_of(around.headers)  # nobody has made a span of the request
        attributes = {**self._attributes, **message}
        self._span = of.tracer.start_span(f"send {queue}", here, SpanKind.PRODUCER, attributes)

    def inject(self) -> None:
        """Let the message carry this span's context."""
        if self._span is None:
            return
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(self._span))
        self.headers = headers or self.headers

    def sent(self) -> None:
        self._end()

    def failed(self, error: BaseException | None) -> None:
        kind = "_OTHER" if error is None else type(error).__qualname__
        self._attributes["error.type"] = kind
        if self._span is not None:
            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR, redact(str(error or "")))
        self._end()

    def _end(self) -> None:
        self._of.measures.sent((perf_counter_ns() - self._begun) / NANO, self._attributes)
        if self._span is not None:
            self._span.end()


class Processing:
    """The span of a task's run. It is the current one while the task runs."""

    def __init__(self, of: "Spans", task: Any, request: Any) -> None:
        self.task_id, self._of = str(request.id), of
        self.queue = str((request.delivery_info or {}).get("routing_key") or "")
        self.attributes, self._begun = _operation("process", self.queue), perf_counter_ns()
        correlation_id = request.get(correlation.HEADER) or request.root_id or request.id
        self.message = _message(task.name, self.task_id, correlation_id)
        self.creation = _context_of(request)
        made = trace.get_current_span(self.creation).get_span_context()
        self.links = [Link(made)] if made.is_valid else []
        self.span: Span | None = None
        self._token: Any = None
        if theirs():
            return
        attributes = {**self.attributes, **self.message, "celery.retries": int(request.retries or 0)}
        parent = self.creation if of.parent else context.get_current()
        self.span = of.tracer.start_span(f"process {self.queue}", parent, SpanKind.CONSUMER, attributes, self.links)
        self._token = context.attach(trace.set_span_in_context(self.span, self.creation))

    def end(self, state: str, value: Any) -> None:
        seconds = (perf_counter_ns() - self._begun) / NANO
        error = value if isinstance(value, BaseException) else None
        if state in ("FAILURE", "RETRY"):
            cause = getattr(error, "exc", None) or error  # of Celery's Retry
            self.attributes["error.type"] = type(cause).__qualname__ if isinstance(cause, BaseException) else "_OTHER"
            self._tell_error(cause)
        if self.span is not None:
            self.span.set_attribute("celery.state", state)
            self.span.end()
        self.leave()
        self._of.measures.processed(seconds, self.attributes)

    def _tell_error(self, cause: Any) -> None:
        if self.span is None:
            return
        self.span.set_attribute("error.type", self.attributes["error.type"])
        said = redact(str(cause or ""))
        if isinstance(cause, BaseException):
            trace_of_it = redact("".join(traceback.format_exception(cause)))
            self.span.record_exception(cause, {"exception.message": said, "exception.stacktrace": trace_of_it})
        self.span.set_status(StatusCode.ERROR, said)

    def leave(self) -> None:
        """Be the current span no more."""
        if self._token is not None:
            context.detach(self._token)
            self._token = None


class Settling:
    """From the end of a run until Redis has answered what became of its outcome: result, follow-up tasks and
    acknowledgement are one step."""

    def __init__(self, of: "Spans", run: Processing) -> None:
        self._of, self._run = of, run
        self._begun, self._clock = time_ns(), perf_counter_ns()

    def end(self, error: str = "") -> None:
        lasted = perf_counter_ns() - self._clock
        attributes = _operation("settle", self._run.queue)
        if error:
            attributes["error.type"] = error
        parent = self._run.creation if self._run.span is None else trace.set_span_in_context(self._run.span)
        span = self._of.tracer.start_span(
            f"settle {self._run.queue}",
            parent,
            SpanKind.CLIENT,
            {**attributes, **self._run.message},
            self._run.links,
            self._begun,
        )
        if error:
            span.set_status(StatusCode.ERROR, error)
        span.end(self._begun + lasted)
        self._of.measures.settled(lasted / NANO, attributes)


class _Here(threading.local):
    run: Processing | None = None  # the one in this thread


class Spans:
    """All of this process. `parent`: a run is a child of the span that sent its message; else it begins a trace of its
    own, which is linked to that span."""

    def __init__(self, tracer: trace.Tracer, measures: Measures, *, parent: bool) -> None:
        self.tracer, self.measures, self.parent = tracer, measures, parent
        self._here = _Here()
        # By task id. A commit keeps its own until it has ended, whatever way; so nothing is left here.
        self._settling: WeakValueDictionary[str, Settling] = weakref.WeakValueDictionary()

    def send(
        self, task: str, queue: str, task_id: str, correlation_id: str, around: Trace | None, given: bool
    ) -> Sending:
        made = Sending(self, task, queue, _message(task, task_id, correlation_id), around)
        if not given:
            made.inject()
        return made

    def prerun(self, task: Any, **_: Any) -> None:
        if task.request.is_eager:
            return  # called in place: there is no message
        left = self._here.run
        if left is not None:  # its end was not told: it was refused, or ended its worker
            left.leave()
        self._here.run = Processing(self, task, task.request)

    def postrun(self, task_id: str, state: str, retval: Any, **_: Any) -> None:
        run = self._here.run
        if run is None or run.task_id != task_id:
            return
        self._here.run = None
        run.end(state, retval)
        if (commit := OPEN.commit) is not None:
            settling = self._settling[task_id] = Settling(self, run)
            commit.then(settling.end)

    def heard(self, event: str, fields: Mapping[str, Any]) -> None:
        """Of an event of celeriac."""
        if event in NOT_TAKEN and (settling := self._settling.get(fields["task_id"])) is not None:
            settling.end(NOT_TAKEN[event])
