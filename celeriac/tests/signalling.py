"""A worker, ours or a stock one, whose tasks end in every way, and which writes down the signals that it hears. Run as
a script it is that worker; what it does is in its environment: KIND (ours, stock), HEAR (signals), WRAP, WHEN."""

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import redis
from celery import Celery, current_task, signals
from celery.app.task import Task
from celery.exceptions import Ignore, Reject

from celeriac import environment
from celeriac.app.settings import CelerySettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker

URL = os.environ.get("CELERY_BROKER_URL", "")
QUEUE, HEARD = "signalling", "heard"
RANDOM = ("x_correlation_id", "fingerprint", "reply_to")  # and ours
NAMED = {"traceback": "Traceback", "origin": r"gen\d+@", "time": r"\d{4}-\d\d-\d\dT"}  # what no two workers share
OF_TASKS = (
    "task_received",
    "task_prerun",
    "task_postrun",
    "task_success",
    "task_retry",
    "task_failure",
    "task_revoked",
    "task_rejected",
    "task_unknown",
    "task_internal_error",
    "before_task_publish",
    "after_task_publish",
)


class Way(TaskPayload):
    source_service: str = "test"
    how: str


class Note(TaskPayload):
    source_service: str = "test"
    text: str


class Said(TaskResult):
    text: str


QUICK = RetryPolicy(limit=3, cap_seconds=0.002, base_seconds=0.001)
typed = Contract(name="signalling.typed", queue=QUEUE, payload=Way, result=Said, retries=QUICK)
note = Contract(name="signalling.note", queue=QUEUE, payload=Note, result=Said)


@implements(typed)
def handle_typed(way: Way, outcome: Outcome) -> Said:
    if way.how == "publishes":
        outcome.publish(note, Note(text="one"))
        outcome.publish(note, Note(text="two"))
    if way.how == "fails":
        raise PermanentError("no")
    if way.how == "retries":
        raise TransientError("later")
    if way.how == "is ignored":
        raise Ignore
    return Said(text=way.how)


@implements(note)
def handle_note(payload: Note) -> Said:
    return Said(text=f"{payload.text}, {injected()}")


def injected() -> str:
    """What a listener of before_task_publish has put into the headers of the message that runs here."""
    return str(current_task.request.get("injected"))


def plain(task: Task, how: str = "returns", text: str = "x") -> Any:  # type: ignore[type-arg]
    if how == "publishes":
        task.app.tasks["signalling.child"].apply_async((text,), queue=QUEUE, task_id=f"{task.request.id}, its child")
    if how == "publishes later":
        task.app.tasks["signalling.child"].apply_async(
            (text,), queue=QUEUE, countdown=0.05, task_id=f"{task.request.id}, its child"
        )
    if how == "fails":
        raise ValueError("no")
    if how == "retries" and task.request.retries == 0:
        raise task.retry(exc=ValueError("later"), countdown=0)
    if how == "is ignored":
        raise Ignore
    if how == "says its id":
        return task.request.id
    if how == "is rejected":
        raise Reject("no", requeue=False)
    return {1} if how == "returns what cannot be written" else text


def child(text: str) -> str:
    return f"{text}, {injected()}"


def app_of(kind: str) -> Celery:
    if kind == "ours":
        app = make_worker("signalling", [handle_typed, handle_note], environment.load(CelerySettings))
        app.owned_queues = (QUEUE,)  # type: ignore[attr-defined]  # an attribute of ours on the app
    else:
        app = Celery("signalling", broker=URL, backend=URL)
        app.conf.update(task_acks_late=True, worker_hijack_root_logger=False, task_default_queue=QUEUE)
    app.task(name="signalling.plain", bind=True, max_retries=3)(plain)
    app.task(name="signalling.child")(child)
    app.finalize()
    return app


# What is heard


def told(value: Any) -> Any:
    """Fit for comparing: no addresses, no times, no ids but the tasks'."""
    if isinstance(value, str):
        return next((name for name, pattern in NAMED.items() if re.match(pattern, value)), value)
    if isinstance(value, int | None):
        return value
    if isinstance(value, dict):
        return {str(name): told(one) for name, one in sorted(value.items()) if name not in RANDOM}
    if isinstance(value, list | tuple | set):
        return [told(one) for one in value]
    if isinstance(value, Task):
        return f"task {value.name}"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if getattr(value, "id", None):  # a request
        return ["request", value.id, told(value.task if isinstance(value.task, str) else value.name)]
    return type(value).__name__


def inject(headers: dict[str, Any], **_: Any) -> None:
    """As tracing libraries do."""
    if current_task:
        headers["injected"] = f"by {current_task.request.id}"


def listen(names: list[str]) -> None:
    signals.before_task_publish.connect(inject)
    client = redis.Redis.from_url(URL)
    for name in names:
        getattr(signals, name).connect(_hears(client, name), weak=False)


def _hears(client: redis.Redis, event: str) -> Callable[..., None]:
    def heard(sender: Any = None, signal: Any = None, **given: Any) -> None:
        about = {key: sorted(value) if key == "retry_policy" else told(value) for key, value in given.items()}
        request, headers = given.get("request"), given.get("headers") or {}
        known = getattr(given.get("message"), "headers", None) or {}
        ids = [given.get("task_id"), headers.get("id"), known.get("id"), getattr(request, "id", None)]
        if isinstance(sender, Task):
            ids.append(sender.request.id)
        task_id = next((one for one in ids if one), None)
        client.rpush(HEARD, json.dumps([task_id, event, told(sender), about], default=repr))

    return heard


# What tracing libraries do


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with redis.Redis.from_url(URL) as client:
            client.rpush("traced", json.dumps(["begin", str(getattr(args[0], "name", "")) if args else ""]))
            try:
                return function(*args, **kwargs)
            except BaseException as exc:
                client.rpush("traced", json.dumps(["raised", type(exc).__name__]))
                raise
            finally:
                client.rpush("traced", json.dumps(["end", ""]))

    return wrapper


def wrap(app: Celery, where: str) -> None:
    trace: Any = import_module("celery.app.trace")
    if where == "tracer":
        original = trace.build_tracer

        def build_tracer(*args: Any, **kwargs: Any) -> Any:
            return traced(original(*args, **kwargs))

        for module in ("celery.app.trace", "celery.worker.consumer.consumer"):
            import_module(module).build_tracer = build_tracer  # type: ignore[attr-defined]
    elif where == "Task.__call__":
        Task.__call__ = traced(Task.__call__)  # type: ignore[method-assign]
    for task in app.tasks.values():
        if not task.name.startswith("signalling."):
            continue
        kind: Any = type(task)
        if where == "run":
            task.run = traced(task.run)
        elif where == "run of the class":
            kind.run = traced(kind.run) if task.name != "signalling.child" else staticmethod(traced(task.run))
        elif where == "__call__":
            kind.__call__ = traced(kind.__call__)


if __name__ == "__main__":
    app = app_of(os.environ["KIND"])
    listen([name for name in os.environ.get("HEAR", "").split(",") if name])
    if where := os.environ.get("WRAP"):
        when = os.environ.get("WHEN", "at once")
        if when == "at once":
            wrap(app, where)
        else:
            getattr(signals, when).connect(lambda **_: wrap(app, where), weak=False)
    settings = environment.load(WorkerSettings)
    if os.environ["KIND"] == "ours":
        sys.exit(run_worker(app, settings))
    if settings.health_file:
        signals.worker_ready.connect(lambda **_: settings.health_file.touch(), weak=False)  # type: ignore[union-attr]
    worker: Any = import_module("celery.apps.worker")
    started = worker.Worker(app=app, queues=[QUEUE], concurrency=1, pool=settings.pool.value, quiet=True)
    started.start()
    sys.exit(started.exitcode or 0)
