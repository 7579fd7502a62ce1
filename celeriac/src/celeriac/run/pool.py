"""The worker pool: one process, its consumer in the main thread, task threads beside it, and a guard over them."""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool, apply_target
from celery.exceptions import Ignore, Reject, WorkerShutdown, WorkerTerminate
from celery.worker import state

from celeriac.events import emit
from celeriac.lease.leases import STOPS
from celeriac.lease.starts import Start
from celeriac.outcome.commit import OPEN, Commit, NotCommitted
from celeriac.retry.classification import of_the_broker
from celeriac.run.body import failure_of
from celeriac.run.exclusive import Exclusive
from celeriac.run.threads import Job, Running, TaskThread
from celeriac.soft_limit import HERE

TRACE: Any = import_module("celery.app.trace")  # celery-types knows half of it
WEIGHT = 0.3  # of the newest measurement
FAILED_PAUSE_SECONDS = 0.1  # after a runner that failed: the same message may come back at once
STOP_SECONDS = 25.0  # that what runs has to end at a stop; WORKER_STOP_SECONDS. The Compose file grants 30


class TaskPool(BasePool):
    """`limit` task threads. One thread gets whole batches; several threads get single messages.

    The consumer's thread calls `take`, `on_apply`, `unstarted`, `idle`, `seconds`, `grow`, and what Celery calls at a
    stop. Task threads run `_work` and what it calls, and `obey`. The guard calls `lost`, `begin`, `interrupt` and
    `give_back`. `inbox` is a queue. `ring`, `stopping` (only ever set) and `hungry` are for all threads. `_put` is
    changed by the consumer's thread alone, `_returned` under its lock, `taken` of a task thread by that thread alone:
    their difference is what no thread has started."""

    body_can_be_buffer = True
    signal_safe = False  # a stop waits for threads: not inside a signal handler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit = max(1, int(self.limit or 1))
        self.hard_limit = self.options.get("timeout")  # seconds, of tasks without one of their own
        self.soft_limit = self.options.get("soft_timeout")
        self.threads: list[TaskThread] = []
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.end: Callable[[float], None] = lambda seconds: None  # commit what is finished, give back the rest
        self.stopping = False
        self.hub: Any = None
        self.flush: Callable[[], None] = lambda: None  # an intake's, when there is one
        self.decline: Callable[[Job], None] = lambda job: None
        self.release: Callable[..., Any] = lambda tags, started=False, why="": None
        self.come_back: Callable[[str], None] = lambda tag: None
        self.fail: Callable[[Commit, Any, Exception, Any], None] = lambda commit, headers, error, links: None
        self.open: Callable[[str, dict[str, Any]], Commit | None] = lambda tag, request: None
        self._local = threading.local()
        self._put = 0  # jobs handed over: by the consumer's thread alone
        self._returned = 0  # and taken back: under the lock
        self._returning = threading.Lock()
        self._bell: int | None = None
        self.hungry = False  # the consumer waits for room
        self.stop_seconds = float(getattr(self.app, "stop_seconds", STOP_SECONDS))
        self.commit_all: Callable[[float], bool] = lambda seconds: True
        self.start_of: Callable[[str], Start | None] = lambda tag: None  # of what came back, on Celery's own way
        self.count_start: Callable[[str, Start, bool], bool] = lambda tag, start, alone: True
        self.exclusive = Exclusive(self)

    def on_start(self) -> None:
        """Apps open their connections in receivers of worker_process_init: here, once for all threads."""
        signals.worker_process_init.send(sender=self._hostname)
        for number in range(self.limit):
            self._grow(number)

    def register_with_event_loop(self, hub: Any) -> None:
        self.hub = hub
        if self._bell is None:
            reading, self._bell = os.pipe()
            os.set_blocking(reading, False)
            os.set_blocking(self._bell, False)
            self._reading = reading
        hub.add_reader(self._reading, self._heard)

    def _heard(self) -> None:
        try:
            os.read(self._reading, 4096)
        except BlockingIOError:
            return

    def ring(self) -> None:
        """Wake the consumer: it can claim more, or it has something to do."""
        if self._bell is not None:
            try:
                os.write(self._bell, b"x")
            except BlockingIOError:
                return

    # What the consumer hands over

    def take(self, jobs: list[Job]) -> None:
        """Hand jobs over to the task threads."""
        self._put += len(jobs)
        if self.limit == 1:
            self.inbox.put(jobs)
        else:
            for job in jobs:
                self.inbox.put((job,))

    def on_apply(self, *args: Any, **kwargs: Any) -> None:
        """A task that goes Celery's own way."""
        self._put += 1
        self.inbox.put((args, kwargs))

    @property
    def unstarted(self) -> int:
        """Handed over and not started."""
        return self._put - self._returned - sum(thread.taken for thread in self.threads)

    @property
    def idle(self) -> int:
        return sum(not thread.busy for thread in self.threads)

    @property
    def seconds(self) -> float:
        """How long a message takes in a thread, lately."""
        return max(1e-6, sum(thread.seconds for thread in self.threads) / max(1, len(self.threads)))

    def commits(self) -> list[Commit]:
        """Of the bodies that run."""
        running = [thread.running for thread in self.threads]
        return [one.commit for one in running if one is not None and one.commit is not None]

    @property
    def current(self) -> TaskThread | None:
        """The task thread that calls this; None in other threads."""
        return getattr(self._local, "thread", None)

    # The threads

    def _grow(self, number: int) -> None:
        thread = TaskThread(number)
        self.threads.append(thread)
        self.begin(thread)

    def begin(self, thread: TaskThread) -> None:
        """Start this task thread; also once more, if it has died."""
        thread.python_thread = threading.Thread(
            target=self._work, args=(thread,), name=f"tasks-{thread.number}", daemon=True
        )
        thread.python_thread.start()

    def lost(self, thread: TaskThread) -> list[str]:
        """Clear a task thread that has died. Returns the tags of its messages."""
        tags = [thread.tag] if thread.tag else []
        chunk = []
        with self._returning:
            while thread.chunk:
                chunk.append(thread.chunk.pop().tag)
            self._returned += len(chunk)
        self.exclusive.forget(thread)
        if thread.running is not None and thread.running.shown:
            thread.running.hide()
        thread.running, thread.tag = None, ""
        thread.busy = thread.waiting = False
        return tags + chunk

    def _work(self, thread: TaskThread) -> None:
        self._local.thread, thread.opened = thread, vars(OPEN)
        if self.app is not None:
            self.app.set_current()  # else a body's `current_app`, and what Celery looks up by it, is the default one
        thread.window.thread_id = threading.get_ident()
        inbox = self.inbox
        while True:
            given = inbox.get()
            thread.busy = True
            try:
                if _is_traced(given):
                    thread.taken += 1
                    self._run_traced(*given)
                else:
                    self._run_jobs(thread, given)
            finally:
                thread.busy = False
                if inbox.empty():
                    self.flush()
                if self.hungry:
                    self.ring()

    def _run_jobs(self, thread: TaskThread, jobs: Any) -> None:
        chunk = thread.chunk
        chunk.extend(jobs)
        began, count = monotonic(), 0
        while chunk:
            try:
                job = chunk.popleft()
            except IndexError:  # the guard took the last one
                break
            thread.tag = job.tag
            thread.taken += 1
            count += 1
            if self.stopping:
                self.release([job.tag])
                continue
            try:
                if job.runner is None or not job.runner(job, thread):
                    self.decline(job)
                    self.ring()
            except BaseException as exc:  # a bug of ours
                emit("runner.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
                OPEN.commit = OPEN.own = HERE.window = thread.running = None
                self.release([job.tag], started=True)
                sleep(FAILED_PAUSE_SECONDS)
            if self.hungry and len(chunk) == 0:
                self.ring()
        thread.tag = ""
        if count:
            thread.seconds += WEIGHT * ((monotonic() - began) / count - thread.seconds)

    def _run_traced(self, args: Any, kwargs: Any) -> None:
        found = self._task(args)
        thread = self.current
        if found is None or thread is None:
            self._call_tracer(args, kwargs)
            return
        if self.exclusive.current is not None:
            self.exclusive.wait(thread)
        thread.tag = tag = found[2]
        start = self.start_of(tag)
        if start is None:
            self._call_tracer(args, kwargs)
        else:
            with self.exclusive.start(thread, tag, start) as alone:
                if not self.stopping and self.count_start(tag, start, alone):
                    self.exclusive.counted(thread)
                    self._call_tracer(args, kwargs)
        thread.tag = ""

    def _call_tracer(self, args: Any, kwargs: Any) -> None:
        began = monotonic()
        commit = OPEN.commit = OPEN.own = self._opened(args)
        thread = self.current
        if thread is not None:
            running = thread.running = self._limited(args, kwargs, commit)
            if running is not None and running.soft:
                HERE.window, HERE.running = thread.window, running
        try:
            apply_target(partial(_counting, args[0]), *args[1:], **kwargs)
        except Exception as exc:
            self._tracer_failed(exc, args, kwargs, commit)
        except BaseException as exc:
            if commit is not None:  # its start counts, or it would stop workers for ever
                self.come_back(commit.tag)
            self.obey(exc)
        finally:
            OPEN.commit = OPEN.own = HERE.window = None
            if thread is not None:
                thread.running = None
        if thread is not None:
            thread.seconds += WEIGHT * ((monotonic() - began) - thread.seconds)
        self.ring()

    def _tracer_failed(self, error: Exception, args: Any, kwargs: Any, commit: Commit | None) -> None:
        """The tracer itself raised: an errback that cannot be called, or a hook. (Of a body's error the tracer makes a
        failure.)"""
        if isinstance(error, Reject):
            kwargs["error_callback"](TRACE.ExceptionInfo())
            return
        emit("task.not_ended", level=logging.ERROR, exc_info=error, error=str(error))
        request = getattr(kwargs.get("callback"), "__self__", None)
        if request is not None:
            state.task_ready(request)
        if commit is None:
            return
        if of_the_broker(error):
            self.come_back(commit.tag)
        else:
            links = {} if request is None else vars(request._context)  # noqa: SLF001  there is no public way
            self.fail(commit, args[1][2], error, links)

    def _task(self, args: tuple[Any, ...]) -> tuple[Any, dict[str, Any], str] | None:
        """The task, its request and its tag; None if what Celery wants to be called is no task."""
        given: tuple[Any, ...] = args[1] if len(args) > 1 else ()
        if len(given) < 3 or not isinstance(given[1], str):  # not a task: name, id, request, …
            return None
        task = self.app.tasks.get(given[0]) if self.app is not None else None
        request: dict[str, Any] = given[2] if isinstance(given[2], dict) else {"id": given[1]}
        tag = (request.get("properties") or {}).get("delivery_tag")
        return None if task is None else (task, request, str(tag))

    def _opened(self, args: tuple[Any, ...]) -> Commit | None:
        """Open its commit: its result and its publishes wait for its acknowledgement. None: it was acknowledged before
        it runs."""
        found = self._task(args)
        return self.open(found[2], found[1]) if found and found[0].acks_late else None

    def _limited(self, args: tuple[Any, ...], kwargs: dict[str, Any], commit: Commit | None) -> Running | None:
        """What the guard needs to enforce time limits. (Celery shows its own requests to remote control.)"""
        found = self._task(args)
        if found is None:
            return None
        hard, soft = kwargs.get("timeout") or self.hard_limit, kwargs.get("soft_timeout") or self.soft_limit
        running = Running(found[0], commit.tag if commit else "", found[1], hard, soft)
        running.commit, running.celerys = commit, True
        if commit is not None:
            commit.since = running.since
        return running

    def obey(self, error: BaseException) -> None:
        """A body wants to stop its worker: set the flags that the consumer reads between two events."""
        flags: Any = state
        code = getattr(error, "code", None) or 0
        if isinstance(error, WorkerTerminate):
            flags.should_terminate = code
        else:
            flags.should_stop = code
        self.ring()

    # Limits

    def interrupt(self, thread: TaskThread, running: Running) -> bool:
        """Raise SoftTimeLimitExceeded in this body, at its next line of Python; False: it does not run now."""
        return thread.window.interrupt(running)

    # The end

    def on_close(self) -> None:
        """Nothing more is started; what is claimed and not started goes back."""
        self.stopping = True
        self.give_back()

    def give_back(self, why: str = STOPS) -> list[str]:
        """Take back what no thread has started, and release it; the tags."""
        with self._returning:
            tags: list[str] = []
            for thread in self.threads:
                while thread.chunk:
                    try:
                        tags.append(thread.chunk.pop().tag)
                    except IndexError:  # the thread took the last one
                        break
            celerys = []
            while True:
                try:
                    given = self.inbox.get_nowait()
                except Empty:
                    break
                if _is_traced(given):
                    celerys.append(given)
                else:
                    tags += (job.tag for job in given)
            for given in celerys:
                self.inbox.put(given)
            self._returned += len(tags)
        self.release(tags, why=why)
        return tags

    def on_stop(self) -> None:
        """What runs is finished, as far as the time allows."""
        self.on_close()
        deadline = monotonic() + self.stop_seconds
        while monotonic() < deadline and (not self.inbox.empty() or any(thread.busy for thread in self.threads)):
            if state.should_terminate not in (None, False):  # told once more: now
                deadline = monotonic()
            sleep(0.005)
        self._acknowledge()
        left = [thread.running for thread in self.threads if thread.running is not None]
        if left:
            emit("worker.stop_overdue", running=[one.id for one in left])
        self.end(max(1.0, deadline - monotonic()))
        self._tell_end()

    def on_terminate(self) -> None:
        """A cold stop: what is finished is committed, all else goes back, what runs included."""
        self.on_close()
        self._acknowledge()
        self.end(1.0)
        self._tell_end()

    def _tell_end(self) -> None:
        signals.worker_process_shutdown.send(sender=self._hostname, pid=os.getpid(), exitcode=0)

    @property
    def _hostname(self) -> str | None:
        return (self.options.get("initargs") or (None, None))[1]

    def _acknowledge(self) -> None:
        """Celery's own way acknowledges through the event loop, which has ended."""
        if self.hub is not None:
            for callback in self.hub._pop_ready():  # noqa: SLF001  there is no public way
                callback()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()  # type: ignore[misc]  # celery-types does not know it
        return {**info, "threads": len(self.threads), "processes": [os.getpid()]}

    def shrink(self, n: int = 1) -> None:
        """Celery's word for fewer of them; its remote control shows the error."""
        raise ValueError("threads of a pool cannot be taken away: start a worker with fewer")

    def grow(self, n: int = 1) -> None:
        for _ in range(n):
            self.limit += 1
            self._grow(self.limit - 1)


def _counting(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call Celery's tracer. A run that was refused or repeated ends here: nothing follows it."""
    try:
        return target(*args, **kwargs)
    except NotCommitted as exc:
        try:
            raise Ignore(str(exc)) from None
        except Ignore:
            return 1, TRACE.ExceptionInfo(), 0.0  # as the tracer: a failure, which is ignored; seconds
    except BaseException as exc:  # of a `__call__` of the task's own
        if isinstance(exc, Exception | WorkerShutdown | WorkerTerminate):
            raise
        raise failure_of(exc) from exc


def _is_traced(given: Any) -> bool:
    """Whether this is a call of Celery's own way (arguments and keywords), not jobs of runners."""
    return type(given) is tuple and type(given[0]) is not Job
