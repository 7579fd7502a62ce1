"""The lane of a task: the short way of a message, from its headers to its outcome.

It keeps what Celery promises: the request, signals that somebody listens to, events, retries, errors, time limits,
results. What is unusual (revoked, rate limited, compressed, not acknowledged late, …) is declined, and goes through
Celery's own request and tracer; callbacks, chains and chords go through the tracer here. Both inside an open commit."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from time import monotonic, time
from typing import Any

from celery import signals
from celery._state import _task_stack
from celery.app.task import Context, Task
from celery.app.trace import TraceInfo
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from celery.states import FAILURE, IGNORED, REJECTED, RETRY, SUCCESS
from celery.utils.saferepr import saferepr
from celery.worker import state

from common_tasks.transport import keys
from common_tasks.transport.commit import OPEN, Commit
from common_tasks.transport.intake import Intake
from common_tasks.transport.pool import Job, Running
from common_tasks.transport.reading import body

Lane = Callable[[Job], bool]


class Request(Context):  # type: ignore[misc]  # celery-types has no base
    """Celery's context of a task, made by adopting the message's headers."""

    @cached_property
    def headers(self) -> dict[str, Any] | None:
        """The headers that are not Celery's own: a retry passes them on."""
        own = {name: value for name, value in self.__dict__.items() if name not in CELERYS and name[0] != "_"}
        return own or None


CELERYS = {*Context.__dict__, "lang", "task", "argsrepr", "kwargsrepr", "compression", "soft_time_limit", "time_limit"}


def overrides(task: Any, name: str) -> bool:
    """Whether a class of the task has its own. (Celery's task_has_custom says so of every task's __call__ in a worker:
    there, its own stack protection stands in Task's place.)"""
    return next(one for one in type(task).__mro__ if name in one.__dict__) is not Task


def expired(text: Any) -> bool:
    """Whether this message may be too old. Celery decides; what cannot be read is for it too."""
    try:
        return datetime.fromisoformat(text).timestamp() < time() + 1
    except (TypeError, ValueError):
        return True


def lane(task: Any, app: Any, consumer: Any, intake: Intake) -> Lane | None:
    """None: all messages of this task go Celery's own way."""
    if not task.acks_late or overrides(task, "__call__") or overrides(task, "before_start"):
        return None
    name, run, hostname, backend = task.name, task.run, consumer.hostname, task.backend
    hooks = overrides(task, "on_success") or overrides(task, "after_return")
    work = getattr(task, "work", None)  # a contract's: (args, kwargs, request, commit) -> the result as JSON
    revoked, stamps, eventer = state.revoked, state.revoked_stamps, consumer.event_dispatcher
    received, success = signals.task_received.receivers, signals.task_success.receivers
    prerun, postrun = signals.task_prerun.receivers, signals.task_postrun.receivers
    push_task, pop_task = _task_stack.push, _task_stack.pop
    push_request, pop_request = task.request_stack.push, task.request_stack.pop
    count, total, active = state.total_count, state.all_total_count, state.active_requests
    finish, pool, starts, buckets = intake.committer.finish, intake.pool, intake.starts, consumer.task_buckets
    simple = getattr(backend, "success_meta", None)
    assert pool is not None
    hard, soft = task.time_limit or pool.hard_limit, task.soft_time_limit or pool.soft_limit
    ignores = task.ignore_result

    def run_lane(job: Job) -> bool:
        message, tag = job.message, job.tag
        headers = message["headers"]
        properties = message["properties"]
        try:
            task_id = headers["id"]
            if (
                task_id in revoked
                or stamps
                or received
                or buckets[name]
                or message["content-type"] != "application/json"
                or headers.get("compression")
                or (headers.get("expires") and expired(headers["expires"]))
            ):
                return False
            delivery_info = properties["delivery_info"]
            delivery_info["priority"] = properties.get("priority")
        except (KeyError, TypeError, AttributeError):
            return False  # whoever looks at it there says what is wrong
        commit = Commit(tag, task_id)
        try:
            args, kwargs, embed = body(message)
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            intake.bury(commit, "undecodable", f"its body: {exc}", job.list_key, headers)
            return True
        if starts and tag in starts and not begin(job, commit, headers):
            return True
        events = eventer is not None and eventer.enabled and task.send_events
        if events:
            tell_received(headers, task_id)
        request = Request.__new__(Request)
        request.__dict__ = headers
        limits = headers.get("timelimit") or (None, None)
        headers.update(
            args=args,
            kwargs=kwargs,
            called_directly=False,
            is_eager=False,
            hostname=hostname,
            properties=properties,
            delivery_info=delivery_info,
            reply_to=properties.get("reply_to"),
            correlation_id=properties.get("correlation_id"),
            time_limit=limits[0],
            soft_time_limit=limits[1],
        )
        count[name] += 1
        total[0] += 1
        seat = pool.seat
        running = Running(task, task_id, tag, headers, limits[0] or hard, limits[1] or soft)
        if seat is not None:
            seat.running = running
        OPEN.commit = commit
        kept = False  # whether the message stays ours after this
        try:
            if hooks or (embed and (embed["callbacks"] or embed["chain"] or embed["chord"] or embed["errbacks"])):
                headers.update(embed)
                kept = traced(task_id, args, kwargs, headers, commit, request, job)
                return True
            push_task(task)
            push_request(request)
            status, value = SUCCESS, None
            try:
                if prerun:
                    signals.task_prerun.send(sender=task, task_id=task_id, task=task, args=args, kwargs=kwargs)
                try:
                    if work is not None:
                        value = work(args, kwargs, request, commit)
                    else:
                        value = run(*args, **kwargs)
                    ignore = headers.get("ignore_result")
                    if not (ignores if ignore is None else ignore):
                        if simple is not None and "_children" not in headers:
                            simple(commit, headers, value, work is not None)
                        else:
                            backend.store_result(task_id, plain(value), SUCCESS, request=request)
                    if success:
                        signals.task_success.send(sender=task, result=value, runtime=monotonic() - running.since)
                    if events:
                        runtime = monotonic() - running.since
                        eventer.send("task-succeeded", uuid=task_id, result=saferepr(value), runtime=runtime)
                except (WorkerShutdown, WorkerTerminate) as exc:
                    kept = leave(exc, tag)
                except (
                    BaseException
                ) as exc:  # SystemExit and MemoryError too: a body must not take its neighbours along
                    status, value, kept = failed(exc, commit, request, tag)
            finally:
                if postrun:
                    signals.task_postrun.send(
                        sender=task, task_id=task_id, task=task, args=args, kwargs=kwargs, retval=value, state=status
                    )
                pop_task()
                pop_request()
            return True
        finally:
            OPEN.commit = None
            if seat is not None:
                seat.running = None
            if running.shown:
                active.discard(running)
            if not kept:
                finish(commit)

    def plain(value: Any) -> Any:
        from common_tasks.transport.reading import loads

        return loads(value) if work is not None and isinstance(value, bytes) else value

    def begin(job: Job, commit: Commit, headers: dict[str, Any]) -> bool:
        """The start of a message whose worker died is counted, and it runs with nothing unsaid before it. False: it
        does not run."""
        intake.committer.drain(1.0)
        record_key = keys.once(commit.task_id) if work is not None else ""
        counted, record = intake.committer.started(job.tag, record_key)
        starts.pop(job.tag, None)
        if counted < 0:  # somebody else's by now
            intake.committer.held.pop(job.tag, None)
            return False
        if record is not None and record.startswith(b"done:"):
            finish(commit)
            return False
        if counted >= intake.options.max_starts:
            why = f"started {counted} times, and each time its worker died or was ended for it"
            store_poison(headers, commit, why)
            intake.bury(commit, "poison", why, job.list_key, headers, starts=counted)
            return False
        headers["_starts"] = counted + 1
        return True

    def store_poison(headers: dict[str, Any], commit: Commit, why: str) -> None:
        from common_tasks.errors import PermanentError

        OPEN.commit = commit
        try:
            if not ignores:
                backend.mark_as_failure(commit.task_id, PermanentError(why), call_errbacks=False)
        finally:
            OPEN.commit = None

    def traced(
        task_id: str, args: Any, kwargs: Any, headers: dict[str, Any], commit: Commit, request: Any, job: Job
    ) -> bool:
        """Through Celery's own tracer."""
        try:
            _, info, _, _ = task.__trace__(task_id, args, kwargs, headers)
        except Reject as exc:
            return rejected(exc, job.tag)
        except (WorkerShutdown, WorkerTerminate) as exc:
            return leave(exc, job.tag)
        except BaseException as exc:  # MemoryError, SystemExit
            push_task(task)
            push_request(request)
            try:
                return failed(exc, commit, request, job.tag)[2]
            finally:
                pop_task()
                pop_request()
        if info is not None and info.state == REJECTED:
            return rejected(info.retval, job.tag)
        return False

    def failed(exc: BaseException, commit: Commit, request: Any, tag: str) -> tuple[str, Any, bool]:
        if isinstance(exc, Reject):
            return REJECTED, exc, rejected(exc, tag)
        commit.record_key = ""  # not done
        if isinstance(exc, Ignore):  # what it has published stays: that is how a task replaces itself
            return IGNORED, exc, False
        status = RETRY if isinstance(exc, Retry) else FAILURE
        if not isinstance(exc, Exception):
            exc = RuntimeError(f"{type(exc).__name__}: {exc}")
        info = TraceInfo(status, exc)
        info.handle_error_state(task, request)
        return status, exc, False

    def rejected(exc: Any, tag: str) -> bool:
        intake.reject(tag, requeue=bool(getattr(exc, "requeue", False)))
        return True

    def leave(exc: Any, tag: str) -> bool:
        """A body that stops its worker: its message goes back."""
        intake.committer.release([tag], started=True)
        state.should_stop = getattr(exc, "code", 0) or 0
        return True

    def tell_received(headers: dict[str, Any], task_id: str) -> None:
        eventer.send(
            "task-received",
            uuid=task_id,
            name=name,
            args=headers.get("argsrepr"),
            kwargs=headers.get("kwargsrepr"),
            root_id=headers.get("root_id"),
            parent_id=headers.get("parent_id"),
            retries=headers.get("retries", 0),
            eta=headers.get("eta"),
            expires=headers.get("expires"),
        )
        eventer.send("task-started", uuid=task_id)

    return run_lane
