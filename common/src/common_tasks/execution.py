"""One run of a task: validate, run the body, send what it wants sent. Celery then stores and acknowledges."""

import logging
import time
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pydantic
from celery.exceptions import Reject, TaskPredicate

from common_tasks import correlation, ledger
from common_tasks.contract import Implementation, describe
from common_tasks.errors import PermanentError, TaskError, TransientError, ValidationError
from common_tasks.events import emit, told
from common_tasks.outcome import Outcome
from common_tasks.redaction import redact
from common_tasks.retries import TRANSIENT, refused_for_now
from common_tasks.schemas import TaskPayload

if TYPE_CHECKING:
    from celery import Celery

LONGEST_WAIT_SECONDS = 5.0  # between two attempts to publish a retry
LONGEST_TEXT = 8_000  # of an error: it is stored with the result and logged


def execute(implementation: Implementation[Any, Any], raw: Any, task_id: str) -> tuple[Any, Outcome]:
    """The result as JSON, and what the body wants published. Knows nothing of Celery."""
    contract = implementation.contract
    try:
        payload = contract.payload_adapter.validate_python(_named(contract.payload, raw, task_id))
    except pydantic.ValidationError as exc:
        raise ValidationError(f"{contract.name} was sent a wrong payload: {describe(exc)}") from None
    outcome = Outcome(payload.task_id if isinstance(payload, TaskPayload) else UUID(task_id))
    result = implementation(payload, outcome)
    try:
        return contract.result_adapter.dump_python(
            contract.result_adapter.validate_python(result), mode="json"
        ), outcome
    except pydantic.ValidationError as exc:
        raise ValidationError(f"{contract.name} returned a wrong result: {describe(exc)}") from None


def _named(payload: type[Any], raw: Any, task_id: str) -> Any:
    """A stock client may leave the id out of the payload: it is the message's then, the same in every retry."""
    if not isinstance(raw, dict) or not issubclass(payload, TaskPayload):
        return raw
    if "task_id" in raw or payload.named_by in raw:
        return raw
    return {"task_id": task_id, **raw}


def portable(error: BaseException) -> Exception:
    """The same failure as an error that reaches the caller with its text. Arguments that are not one string do not
    survive the JSON result backend, and classes of the owner's libraries may be unknown to the caller."""
    text = redact(describe(error) if isinstance(error, pydantic.ValidationError) else str(error))[:LONGEST_TEXT]
    if isinstance(error, TaskError | TypeError) and (error.args == () or (len(error.args) == 1 and text)):
        return error if error.args == (text,) else type(error)(text)
    if isinstance(error, pydantic.ValidationError):
        return ValidationError(text)
    kind = TransientError if isinstance(error, TRANSIENT) else PermanentError
    return kind(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def register(implementation: Implementation[Any, Any], app: "Celery") -> None:
    """Make a Celery task of it."""
    contract = implementation.contract
    told.add(contract.name)
    book = ledger.Ledger.of(app)

    def run(task: Any, payload: Any = None) -> Any:
        request = task.request
        bench_run = request.get(ledger.HEADER)
        started = time.time()
        if not bench_run:
            emit("task.started", queue_seconds=_waited_seconds(request, started), retries=request.retries)
        try:
            result, outcome = execute(implementation, payload, request.id)
            _publish(outcome, app, bench_run)
        except (Exception, SystemExit) as exc:
            # Retry, Ignore and Reject are Celery's words, not failures; WorkerShutdown is a SystemExit of Celery's own.
            # A plain one came from the body, and would take the worker along.
            if isinstance(exc, TaskPredicate) or (isinstance(exc, SystemExit) and type(exc) is not SystemExit):
                raise
            raise _failed(task, contract.retries, exc, started) from None
        if bench_run:
            book.record(bench_run, request.id, started, time.time(), request.hostname)
        else:
            emit("task.succeeded", run_seconds=round(time.time() - started, 6))
        return result

    app.task(name=contract.name, bind=True, shared=False, ignore_result=contract.ignore_result)(run)


def _publish(outcome: Outcome, app: "Celery", bench_run: str | None) -> None:
    for child in outcome.children:
        options: dict[str, Any] = {}
        if bench_run:
            options = {"queue": ledger.queue(bench_run, child.contract.queue), "headers": {ledger.HEADER: bench_run}}
        child.contract.bind(app).apply_async(child.payload, **options)


def _failed(task: Any, retries: Any, error: BaseException, started: float) -> Exception:
    """Retry by Celery's own mechanism, which raises its Retry here; or the error that the caller shall see."""
    ended = portable(error)
    fields: dict[str, Any] = {
        "error_type": type(error).__name__,
        "error": str(ended),
        "run_seconds": round(time.time() - started, 6),
    }
    if isinstance(error, Exception) and retries.allows(error, task.request.retries):
        delay = retries.delay_seconds(task.request.retries)
        emit(
            "task.retrying",
            level=logging.WARNING,
            delay_seconds=round(delay, 3),
            retries=task.request.retries,
            **fields,
        )
        _retry(task, ended, delay, retries.limit)
    expected = isinstance(error, TaskError)  # the text says it all; of others one wants to know where they came from
    emit("task.failed", level=logging.ERROR, exc_info=None if expected else error, **fields)
    return ended


def _retry(task: Any, ended: Exception, delay: float, limit: int) -> None:
    """Celery's retry, which raises its Retry when it is published. When it is not, Celery rejects the message, and the
    task is gone. So we hold the message until the broker takes the retry; if this process is killed meanwhile, the
    message goes to another. Returns if the broker never will: the failure is the outcome then."""
    for attempt in count():
        try:
            raise task.retry(exc=ended, countdown=delay, max_retries=limit)
        except Reject as exc:
            reason: Any = exc.reason  # type: ignore[attr-defined]  # celery-types does not know it
            if not (isinstance(reason, TRANSIENT) or refused_for_now(reason)):
                return
            wait = min(LONGEST_WAIT_SECONDS, 0.1 * 2.0 ** min(attempt, 10))
            error = redact(str(reason))[:LONGEST_TEXT]
            emit("task.retry_refused", level=logging.WARNING, error=error, next_attempt_seconds=wait)
        time.sleep(wait)


def _waited_seconds(request: Any, started: float) -> float | None:
    published = request.get(correlation.PUBLISHED_AT)
    if not isinstance(published, int | float):
        return None
    due = datetime.fromisoformat(request.eta).timestamp() if request.eta else 0.0
    return round(max(0.0, started - max(published, due)), 6)
