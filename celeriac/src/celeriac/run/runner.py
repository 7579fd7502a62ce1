"""The runner of a task: the short way of a message, from its headers to its outcome.

A runner keeps what Celery promises: the request, signals that somebody listens to, events, retries, errors, time
limits, results. It declines unusual messages (revoked, rate limited, compressed, not acknowledged late, …): these go
through Celery's own request and tracer. Callbacks, chains and chords go through Celery's tracer, called by the runner.
In both cases a commit is open."""

import logging
from datetime import datetime
from functools import cached_property
from importlib import import_module
from time import monotonic, time
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

from celery import signals
from celery.app.task import Context, Task
from celery.app.trace import TraceInfo
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from celery.states import FAILURE, IGNORED, REJECTED, RETRY, SUCCESS
from celery.utils.saferepr import saferepr
from celery.worker import state
from kombu.utils.encoding import safe_repr, safe_str

from celeriac.correlation import PUBLISHED_AT, named
from celeriac.events import emit, heard, transition
from celeriac.lease.starts import Start
from celeriac.life.pack import cause_of, error_text, facts_of
from celeriac.message.reading import body, loads
from celeriac.message.schema import check_links
from celeriac.outcome.commit import Commit, NotCommitted, ending
from celeriac.outcome.hooks import commit_before, overrides
from celeriac.retry.classification import of_the_broker
from celeriac.run.body import failure_of
from celeriac.run.delivery import POISON, address
from celeriac.run.intake import Intake
from celeriac.run.pool import TaskPool
from celeriac.run.threads import Job, Running, TaskThread
from celeriac.soft_limit import HERE

TASKS: Any = import_module("celery._state")._task_stack  # noqa: SLF001  what `current_task` looks at

CELERYS = {*Context.__dict__, "lang", "task", "argsrepr", "kwargsrepr", "compression", "soft_time_limit", "time_limit"}
NO_LIMITS = (None, None)
TRACE: Any = import_module("celery.app.trace")  # celery-types knows half of it
RECEIVED, SUCCEEDED = logging.getLogger("celery.worker.strategy"), logging.getLogger("celery.app.trace")
CELERYS_FILES = {Task.apply.__code__.co_filename, TraceInfo.handle_reject.__code__.co_filename}
LINKED = ("callbacks", "errbacks", "chain", "chord")  # parts of a body for which Celery's tracer is needed


class Request(Context):
    """Celery's context of a task. It uses the message's headers as its attributes: to copy them takes ten times as
    long."""

    called_directly = False
    time_limit = property(lambda self: (self.__dict__.get("timelimit") or NO_LIMITS)[0])
    soft_time_limit = property(lambda self: (self.__dict__.get("timelimit") or NO_LIMITS)[1])

    @classmethod
    def adopt(
        cls, headers: dict[str, Any], properties: dict[str, Any], args: Any, kwargs: Any, hostname: str
    ) -> "Request":
        request = cls.__new__(cls)
        request.__dict__ = headers
        headers["args"] = args
        headers["kwargs"] = kwargs
        headers["hostname"] = hostname
        headers["properties"] = properties
        headers["delivery_info"] = properties["delivery_info"]
        headers["reply_to"] = properties.get("reply_to")
        headers["correlation_id"] = properties.get("correlation_id")
        if "due_at" in headers:  # it waited in Redis; the body is told as if it had waited in a worker
            headers["eta"] = headers["due_at"]
        return request

    @cached_property
    def headers(self) -> dict[str, Any] | None:  # type: ignore[override]  # a field there; made when a retry asks for it
        """The headers that are not Celery's own: a retry passes them on."""
        own = {name: value for name, value in self.__dict__.items() if name not in CELERYS and name[:1] != "_"}
        return own or None


def stack_of_thread(stack: Any, bottom: Any) -> list[Any]:
    """The list behind Celery's LocalStack in this thread. To use the list directly saves a third of the time that a
    short task spends outside its body. LocalStack throws its list away when it is empty, so `bottom` is put into it
    and stays there; it stands for no task."""
    local = getattr(stack, "_local", None)
    if local is None:  # USE_FAST_LOCALS: a list for each thread already
        found: list[Any] = stack.stack
        return found
    found = getattr(local, "stack", None) or []
    found.insert(0, bottom)
    local.stack = found
    return found


class _Nobody:
    """Stands for no task. Celery asks each entry of the stack how it was called."""

    request = SimpleNamespace(called_directly=True)

    def __bool__(self) -> bool:
        return False


def celerys(function: Any) -> bool:
    """Whether this is Celery's own function, and not a wrapper that a library has put around it. A wrapper has the name
    and the module of the function inside, and may even show its class."""
    return type(function) is FunctionType and function.__code__.co_filename in CELERYS_FILES


def bare(method: Any) -> Any:
    """The function of a bound method; anything else as it is. A wrapper is no bound method, whatever class it shows."""
    return method.__func__ if type(method) is MethodType else method


def runner_of(task: Any, app: Any, consumer: Any, intake: Intake) -> "Runner | None":
    """The runner of a task; None if all its messages go Celery's own way."""
    if not task.acks_late or not celerys(type(task).__call__) or overrides(task, "before_start"):
        return None
    if app.conf.worker_deduplicate_successful_tasks and not hasattr(task, "work"):  # a contract has its record
        return None
    made = Runner(task, consumer, intake)
    made.lines = made.work is None and getattr(app, "has_own_settings", False) and RECEIVED.isEnabledFor(logging.INFO)
    return made


class Runner:
    """The runner of one task, for one connection of the consumer."""

    def __init__(self, task: Any, consumer: Any, intake: Intake) -> None:
        pool = intake.pool
        assert isinstance(pool, TaskPool)
        self.task, self.name, self.pool, self.intake = task, task.name, pool, intake
        self.exclusive = pool.exclusive
        self.hostname = consumer.hostname
        self.work: Any = getattr(
            task, "work", None
        )  # a contract's: (args, kwargs, request, commit) -> the result as JSON
        self.own_run = getattr(task, "own_run", None)  # a contract's `run`, which `work` stands for
        self.limits = task.run  # looks after soft limits, around this:
        self.body = getattr(task.run, "limits", task.run)
        self.call = type(task).__call__
        self.tracer: Any = None
        # Through a tracer: Celery's, or a library's around it. (Another store than Redis
        # gets STARTED from the tracer: the guard must not wait for that store.)
        hooks = overrides(task, "on_success") or overrides(task, "after_return")
        self.traces = hooks or (task.track_started and not hasattr(task.backend, "started_meta"))
        self.traced = self.traces
        self.ignores = task.ignore_result
        self.backend = task.backend
        self.write_success = getattr(self.backend, "success_meta", None)
        self.submit, self.starts, self.came_back = intake.committer.submit, intake.starts, intake.starts.stored
        self.lines = False  # whether Celery's own lines are logged: for apps with settings of their own
        self.buckets, self.eventer = consumer.task_buckets, consumer.event_dispatcher
        self.requests = task.request_stack
        self.count, self.total = state.total_count, state.all_total_count

    def run(self, job: Job, thread: TaskThread) -> bool:
        """False: the message is unusual and must go Celery's own way. True: this runner took it, and the committer has
        what became of it."""
        message = job.message
        headers, properties = message["headers"], message["properties"]
        if self._unusual(message, headers):
            return False
        delivery_info = properties["delivery_info"]
        delivery_info["priority"] = properties.get("priority")
        delivery_info.setdefault("redelivered", False)
        if delivery_info.get("exchange") or delivery_info["routing_key"] != job.list_key:
            address(delivery_info, job.list_key)
        commit = Commit(job.tag, headers["id"], self.name)
        commit.headers = headers
        try:
            args, kwargs, embed = body(message)
            linked = bool(embed) and any(map(embed.get, LINKED))
            if linked:
                check_links(embed)
        except Exception as exc:
            why = f"its body: {type(exc).__name__}: {exc}"
            self.intake.ends.dead(commit, "undecodable", why, job.list_key, headers)
            self.intake.refusals.send(message, "undecodable", exc)
            return True
        if self.exclusive.current is not None:
            self.exclusive.wait(thread)
            if self.pool.stopping:
                self.intake.leases.release([job.tag])
                return True
        if self.came_back and job.tag in self.came_back:
            start = self.starts.next(job.tag)
            assert start is not None
            if start.poison:
                why = POISON.format(start.counted)
                self.intake.ends.dead(commit, "poison", why, job.list_key, headers, starts=start.counted, links=embed)
                return True
            with self.exclusive.start(thread, job.tag, start) as alone:
                if not self._begin(job, thread, start, alone):
                    return True
                return self._go(job, thread, commit, args, kwargs, embed, linked)
        return self._go(job, thread, commit, args, kwargs, embed, linked)

    def _go(  # noqa: C901  a function more would take time from each message
        self, job: Job, thread: TaskThread, commit: Commit, args: Any, kwargs: Any, embed: dict[str, Any], linked: bool
    ) -> bool:
        headers, properties = job.message["headers"], job.message["properties"]
        events = self._events_are_sent()
        if events:
            self._tell_received(headers, commit.task_id)
        if self.lines:
            self._log_received(headers, commit.task_id)
        request = Request.adopt(headers, properties, args, kwargs, self.hostname)
        self.count[self.name] += 1
        self.total[0] += 1
        hard, soft = headers.get("timelimit") or NO_LIMITS
        task, pool = self.task, self.pool  # remote control may have changed the limits
        hard, soft = hard or task.time_limit or pool.hard_limit, soft or task.soft_time_limit or pool.soft_limit
        thread.running = running = Running(task, job.tag, headers, hard, soft, commit)
        commit.since = running.since
        if headers.get("retries") or (PUBLISHED_AT not in headers and headers.get("root_id") != commit.task_id):
            commit.facts = facts_of(headers)  # of others, the record of its publish says it all, or there is no more
        opened = thread.opened
        opened["commit"] = opened["own"] = commit
        if running.soft:
            HERE.window, HERE.running = thread.window, running
        ours = False  # whether the message ends with this commit. If not, it comes back, and its starts are counted
        try:
            if task.__trace__ is not self.tracer:
                self._look_at_the_tracer()
            if linked or self.traced:
                headers.update((name, embed.get(name)) for name in LINKED)
                ours = self._trace(request, commit, events)
            else:
                ours = self._run(request, commit, running, thread, events)
        except NotCommitted:  # its message is finished, or belongs to another worker
            ours = False
        finally:
            opened["commit"] = opened["own"] = thread.running = None
            if running.soft:
                HERE.window = None
            if running.shown:
                running.hide()
            if ours and commit.verdict is None:  # else it was committed before its hooks
                self.submit(commit)
        return True

    def _unusual(self, message: dict[str, Any], headers: dict[str, Any]) -> bool:
        return bool(
            (type(self.task).__call__ is not self.call and not celerys(type(self.task).__call__))
            or headers["id"] in state.revoked
            or (state.revoked_stamps and headers.get("stamped_headers"))
            or signals.task_received.receivers
            or self.buckets[self.name]
            or message["content-type"] != "application/json"
            or headers.get("compression")
            or (headers.get("expires") and _may_be_expired(headers["expires"]))
        )

    def _look_at_the_tracer(self) -> None:
        """Celery makes it after the runners are made, and a library may have put something around it."""
        self.tracer = self.task.__trace__
        self.traced = self.traces or (self.tracer is not None and not celerys(self.tracer))

    # A start that counts

    def _begin(self, job: Job, thread: TaskThread, start: Start, alone: bool) -> bool:
        """Count this start, since a worker died with the message before. False: it must not run."""
        if self.pool.stopping:
            self.intake.leases.release([job.tag])
            return False
        if not self.starts.count(job.tag, start, alone=alone):  # another worker has it now
            return False
        self.exclusive.counted(thread)
        job.message["headers"]["_starts"] = start.counted + 1
        job.message["properties"]["delivery_info"]["redelivered"] = True
        return True

    # The body

    def _run(self, request: Request, commit: Commit, running: Running, thread: TaskThread, events: bool) -> bool:
        """Whether the message ends with this commit."""
        stacks = thread.stacks.get(self.name)
        if stacks is None:
            stacks = thread.stacks[self.name] = self._task_stack(thread), stack_of_thread(self.requests, None)
        tasks, requests = stacks
        task, task_id = self.task, commit.task_id
        args: Any = request.args
        kwargs: Any = request.kwargs
        tasks.append(task)
        requests.append(request)
        status: str = SUCCESS
        value: Any = None
        ours = True
        try:
            try:
                if signals.task_prerun.receivers:
                    signals.task_prerun.send(sender=task, task_id=task_id, task=task, args=args, kwargs=kwargs)
                run = task.run  # a library may have wrapped it; then it must be called as it is
                run = self.body if run is self.limits and not running.soft else run
                as_json = self.work is not None and bare(run) is self.own_run
                value = self.work(args, kwargs, request, commit) if as_json else run(*args, **kwargs)
                ignored = request.__dict__.get("ignore_result")
                if not (self.ignores if ignored is None else ignored):
                    self._store(request, commit, value, as_json)
                if self.work is None and (self.lines or heard()):  # a contract tells it itself
                    self._tell_done(commit, running, value)
                if events or signals.task_success.receivers or signals.task_postrun.receivers:
                    value = loads(value) if as_json else value
                    self._tell_success(commit, running, value, events)
            except NotCommitted:
                raise
            except BaseException as exc:  # SystemExit and MemoryError too: a body must not end the tasks beside it
                status, value, ours = self._failed(exc, request, commit, events)
        finally:
            if signals.task_postrun.receivers:
                self._send_postrun(task_id, args, kwargs, value, status)
            tasks.pop()
            requests.pop()
        return ours

    def _tell_success(self, commit: Commit, running: Running, value: Any, events: bool) -> None:
        if signals.task_success.receivers:
            commit_before(commit.task_id, signals.task_success)
            signals.task_success.send(sender=self.task, result=value, runtime=monotonic() - running.since)
        if events:
            self._tell_succeeded(commit, saferepr(value), monotonic() - running.since)

    def _send_postrun(self, task_id: str, args: Any, kwargs: Any, value: Any, status: str) -> None:
        """The task has ended: SystemExit of a listener, which Celery lets pass, changes nothing."""
        try:
            signals.task_postrun.send(
                sender=self.task, task_id=task_id, task=self.task, args=args, kwargs=kwargs, retval=value, state=status
            )
        except BaseException as exc:
            emit("listener.failed", level=logging.ERROR, exc_info=exc, error=str(exc), task_id=task_id)

    @staticmethod
    def _task_stack(thread: TaskThread) -> list[Any]:
        """One for all tasks of a thread."""
        return next((tasks for tasks, _ in thread.stacks.values()), None) or stack_of_thread(TASKS, _Nobody())

    def _store(self, request: Request, commit: Commit, value: Any, as_json: bool) -> None:
        headers = request.__dict__
        if self.write_success is not None and "_children" not in headers and not commit.succeeded:
            self.write_success(commit, headers, value, as_json)
        else:
            with ending():
                self.backend.store_result(commit.task_id, loads(value) if as_json else value, SUCCESS, request=request)

    def _trace(self, request: Request, commit: Commit, events: bool) -> bool:
        """Run the task through Celery's own tracer. Returns whether the message ends with this commit."""
        task_id = commit.task_id
        try:
            value, info, runtime, shown = self.task.__trace__(task_id, request.args, request.kwargs, request.__dict__)
        except NotCommitted:
            raise
        except BaseException as exc:  # Reject, MemoryError, SystemExit: the tracer lets them through
            TASKS.push(self.task)
            self.requests.push(request)
            try:
                return self._failed(exc, request, commit, events)[2]
            finally:
                TASKS.pop()
                self.requests.pop()
        if info is not None and info.state == REJECTED:
            return self._reject(info.retval, commit, events)
        if info is not None and commit.verdict is None:
            commit.note(state=info.state)
        if events and info is None:
            self._tell_succeeded(commit, shown, runtime)
        elif events and info.state in (FAILURE, RETRY):
            self._tell_failed(commit, info.state, value)
        return True

    def _failed(self, error: BaseException, request: Request, commit: Commit, events: bool) -> tuple[str, Any, bool]:
        """Celery's state for it, the error, and whether the message ends with this commit."""
        if commit.verdict is not None or commit.done:  # a hook or a listener failed: the outcome stays
            emit("hook.failed", level=logging.ERROR, exc_info=error, error=str(error), task_id=commit.task_id)
            return SUCCESS, None, commit.verdict is None
        commit.record = ""  # not done
        commit.effects = ()
        if isinstance(error, Reject):
            return REJECTED, error, self._reject(error, commit, events)
        if isinstance(error, WorkerShutdown | WorkerTerminate):
            self.intake.leases.release([commit.tag], started=True)  # it must not end workers for ever
            self.pool.obey(error)
            return IGNORED, error, False
        if isinstance(error, Ignore):  # its publishes go out: that is how a task replaces itself
            commit.note(state=IGNORED)
            return IGNORED, error, True
        status = RETRY if isinstance(error, Retry) else FAILURE
        error = failure_of(error)
        commit.note(state=status)
        if commit.facts is not None and "error" not in commit.facts:
            commit.note(error=error_text(cause_of(error)))
        try:
            info = TraceInfo(status, error).handle_error_state(self.task, request)
        except (Exception, SystemExit) as exc:  # an errback that cannot be called, or a hook that failed
            if of_the_broker(exc):
                raise
            return status, error, self._failed_twice(error, exc, request, commit)
        if events:
            self._tell_failed(commit, status, info)
        return status, error, True

    def _failed_twice(self, first: Exception, second: BaseException, request: Request, commit: Commit) -> bool:
        """It failed, and Celery could not say so. It ends here all the same, with a dead letter."""
        emit("task.not_ended", level=logging.ERROR, exc_info=second, error=str(second), task_id=commit.task_id)
        held = self.intake.leases.held.get(commit.tag)
        if commit.dead_key or held is None:
            return True
        why = f"{type(first).__name__}: {first}; and then {type(second).__name__}: {second}"
        self.intake.ends.dead(commit, "permanent", why, held.list_key, request.__dict__)
        return False

    def _reject(self, error: Any, commit: Commit, events: bool) -> bool:
        requeue = bool(getattr(error, "requeue", False))
        self.intake.delivery.reject(commit.tag, requeue=requeue, commit=commit, error=error)
        if events:
            self.eventer.send("task-rejected", uuid=commit.task_id, requeue=requeue)
        return False

    # Events

    def _events_are_sent(self) -> bool:
        """Whether somebody wants events of tasks: the worker's option -E, or remote control, at any time. (The
        dispatcher is enabled in any case, for the events of workers.)"""
        eventer = self.eventer
        if eventer is None or not eventer.enabled or (eventer.groups and "task" not in eventer.groups):
            return False
        return bool(self.task.send_events)

    def _tell_received(self, headers: dict[str, Any], task_id: str) -> None:
        self.eventer.send(
            "task-received",
            uuid=task_id,
            name=self.name,
            args=headers.get("argsrepr"),
            kwargs=headers.get("kwargsrepr"),
            root_id=headers.get("root_id"),
            parent_id=headers.get("parent_id"),
            retries=headers.get("retries", 0),
            eta=headers.get("eta"),
            expires=headers.get("expires"),
        )
        self.eventer.send("task-started", uuid=task_id)

    def _tell_done(self, commit: Commit, running: Running, value: Any) -> None:
        fields = named(commit.headers, commit.task_id)
        seconds = monotonic() - running.since
        if self.lines:
            self._log_succeeded(commit, seconds, value)
        logged, run_seconds = not self.lines, round(seconds, 6)
        commit.then(lambda: transition("task.succeeded", logged=logged, run_seconds=run_seconds, **fields))

    def _log_received(self, headers: dict[str, Any], task_id: str) -> None:
        data = {"id": task_id, "name": self.name, "eta": headers.get("due_at"), **_reprs(headers)}
        RECEIVED.info(TRACE.LOG_RECEIVED, data, extra={"data": data})

    def _log_succeeded(self, commit: Commit, seconds: float, value: Any) -> None:
        headers = commit.headers or {}
        data = {
            "id": commit.task_id,
            "name": headers.get("shadow") or self.name,
            "return_value": saferepr(value, self.task.resultrepr_maxsize),
            "runtime": seconds,
            **_reprs(headers),
        }
        commit.then(lambda: SUCCEEDED.info(TRACE.LOG_SUCCESS, data, extra={"data": data}))

    def _tell_succeeded(self, commit: Commit, shown: str, runtime: float) -> None:
        send, task_id = self.eventer.send, commit.task_id  # a callback that kept the commit would be a cycle
        commit.then(lambda: send("task-succeeded", uuid=task_id, result=shown, runtime=runtime))

    def _tell_failed(self, commit: Commit, status: str, info: Any) -> None:
        """`info`: Celery's ExceptionInfo."""
        send, error, kind = self.eventer.send, info.exception, "task-failed"
        if status == RETRY:
            error, kind = getattr(error, "exc", error), "task-retried"
        text, trace, task_id = safe_repr(error), safe_str(info.traceback), commit.task_id
        commit.then(lambda: send(kind, uuid=task_id, exception=text, traceback=trace))


def _reprs(headers: dict[str, Any]) -> dict[str, Any]:
    return {"args": headers.get("argsrepr"), "kwargs": headers.get("kwargsrepr")}


def _may_be_expired(text: Any) -> bool:
    """Celery decides; what cannot be read is for it too."""
    try:
        return datetime.fromisoformat(text).timestamp() < time() + 1
    except Exception:
        return True
