"""The worker pool: one process, its consumer in the main thread, task threads beside it, and a guard over them."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic, sleep, time
from typing import Any, NamedTuple

from celery.concurrency.base import BasePool, apply_target
from celery.exceptions import Ignore, Reject, WorkerShutdown, WorkerTerminate
from celery.worker import state

from celeriac.events import emit
from celeriac.lease.starts import Start
from celeriac.outcome.commit import OPEN, Commit, NotCommitted
from celeriac.outcome.soft_limit import HERE, Window, failure_of
from celeriac.retry.classification import of_the_broker

TRACE: Any = import_module("celery.app.trace")  # celery-types knows half of it
FIRST_GUESS_SECONDS = 0.02  # how long a message takes, until there is one to measure
WEIGHT = 0.3  # of the newest measurement
FAILED_PAUSE_SECONDS = 0.1  # after a lane that failed: the same message may come back at once
STOP_SECONDS = 25.0  # that what runs has to end at a stop; WORKER_STOP_SECONDS. The Compose file grants 30


class Job(NamedTuple):
    """A claimed message and the way it is to go."""

    lane: Callable[["Job", "Seat"], bool] | None
    message: dict[str, Any]
    raw: bytes
    tag: str
    list_key: str


class Seat:
    """One task thread, as the guard sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.window = Window()
        self.thread: threading.Thread | None = None
        self.tag = ""  # of the message that this thread works on
        self.waiting = False  # until a message that runs alone has ended, or until the others have, to run alone
        self.chunk: deque[Job] = deque()  # claimed and handed to this thread, not started
        self.taken = 0  # jobs that left the inbox or the chunk through this thread
        self.seconds = FIRST_GUESS_SECONDS
        self.busy = False
        self.running: Running | None = None
        self.stacks: dict[str, tuple[list[Any], list[Any]]] = {}  # by task: the stacks of `current_task` and `request`


class Running:
    """A body that runs. Celery's remote control sees it in place of a Request, so it has what Celery asks of one."""

    shown = False  # as STARTED, and in `inspect active`
    celerys = False  # Celery's own request shows it in `inspect active`
    interrupted = False
    acknowledged = False

    def __init__(
        self, task: Any, tag: str, headers: dict[str, Any], hard: float | None = None, soft: float | None = None
    ) -> None:
        self.task, self.tag, self.headers = task, tag, headers
        self.hard, self.soft = hard, soft  # seconds
        self.commit: Commit | None = None  # that it runs in
        self.since = monotonic()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What `inspect active` tells; named and shaped as Celery's Request.info."""
        return {
            "id": self.id,
            "name": self.task.name,
            "type": self.task.name,
            "args": self.headers.get("argsrepr" if safe else "args"),
            "kwargs": self.headers.get("kwargsrepr" if safe else "kwargs"),
            "hostname": self.headers.get("hostname"),
            "time_start": time() - (monotonic() - self.since),
            "acknowledged": self.acknowledged,
            "delivery_info": self.headers.get("delivery_info"),
            "worker_pid": os.getpid(),
        }

    @property
    def id(self) -> str:
        """The task id; named as Celery's Request has it."""
        return str(self.headers["id"])

    def show(self) -> None:
        """Show it to remote control."""
        self.shown = True
        if self.celerys:
            return
        state.requests[self.id] = self
        state.active_requests.add(self)

    def hide(self) -> None:
        if self.celerys:
            return
        state.active_requests.discard(self)
        state.requests.pop(self.id, None)

    def cancel(self, pool: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do at a cold stop: the pool gives the message back."""

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """As in all pools of threads: raises NotImplementedError."""
        pool.terminate_job(os.getpid(), signal)


class Alone:
    """The seat whose body runs alone, and until when."""

    def __init__(self, seat: Seat, tag: str, seconds: float) -> None:
        self.seat, self.tag, self.seconds = seat, tag, seconds
        self.until = inf  # by the monotonic clock; inf: it has not begun

    def begin(self) -> None:
        """Its start is counted as one alone."""
        self.until = monotonic() + self.seconds


class TaskPool(BasePool):
    """`limit` task threads. One thread gets whole batches; several threads get single messages."""

    body_can_be_buffer = True
    signal_safe = False  # a stop waits for threads: not inside a signal handler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit = max(1, int(self.limit or 1))
        self.hard_limit = self.options.get("timeout")  # seconds, of tasks without one of their own
        self.soft_limit = self.options.get("soft_timeout")
        self.seats: list[Seat] = []
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.end: Callable[[float], Any] = lambda seconds: True  # commits, and gives the rest back, in so many seconds
        self.stopping = False
        self.hub: Any = None
        self.flush: Callable[[], None] = lambda: None  # an intake's, when there is one
        self.decline: Callable[[Job], None] = lambda job: None
        self.release: Callable[..., Any] = lambda tags, started=False: None
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
        self.drain: Callable[[float], bool] = lambda seconds: True
        self.start_of: Callable[[str], Start | None] = lambda tag: None  # of what came back, on Celery's own way
        self.count_start: Callable[[str, Start, bool], bool] = lambda tag, start, alone: True
        self.alone: Alone | None = None
        self._alone_lock = threading.Lock()

    def on_start(self) -> None:
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
        return self._put - self._returned - sum(seat.taken for seat in self.seats)

    @property
    def idle(self) -> int:
        return sum(not seat.busy for seat in self.seats)

    @property
    def seconds(self) -> float:
        """How long a message takes in a thread, lately."""
        return max(1e-6, sum(seat.seconds for seat in self.seats) / max(1, len(self.seats)))

    def commits(self) -> list[Commit]:
        """Of the bodies that run."""
        running = [seat.running for seat in self.seats]
        return [one.commit for one in running if one is not None and one.commit is not None]

    @property
    def seat(self) -> Seat | None:
        """The seat of this thread."""
        return getattr(self._local, "seat", None)

    # The threads

    def _grow(self, number: int) -> None:
        seat = Seat(number)
        self.seats.append(seat)
        self.begin(seat)

    def begin(self, seat: Seat) -> None:
        """Start the thread of this seat; also a new one in place of a thread that died."""
        seat.thread = threading.Thread(target=self._work, args=(seat,), name=f"tasks-{seat.number}", daemon=True)
        seat.thread.start()

    def lost(self, seat: Seat) -> list[str]:
        """Clear the seat of a thread that died. Returns the tags of its messages."""
        tags = [seat.tag] if seat.tag else []
        chunk = []
        with self._returning:
            while seat.chunk:
                chunk.append(seat.chunk.pop().tag)
            self._returned += len(chunk)
        with self._alone_lock:
            if self.alone is not None and self.alone.seat is seat:
                self.alone = None
        if seat.running is not None and seat.running.shown:
            seat.running.hide()
        seat.running, seat.tag = None, ""
        seat.busy = seat.waiting = False
        return tags + chunk

    def _work(self, seat: Seat) -> None:
        self._local.seat = seat
        if self.app is not None:
            self.app.set_current()  # else a body's `current_app`, and what Celery looks up by it, is the default one
        seat.window.thread_id = threading.get_ident()
        inbox = self.inbox
        while True:
            given = inbox.get()
            seat.busy = True
            try:
                if _is_celerys(given):
                    seat.taken += 1
                    self._celery(*given)
                else:
                    self._lanes(seat, given)
            finally:
                seat.busy = False
                if inbox.empty():
                    self.flush()
                if self.hungry:
                    self.ring()

    def _lanes(self, seat: Seat, jobs: Any) -> None:
        chunk = seat.chunk
        chunk.extend(jobs)
        began, count = monotonic(), 0
        while chunk:
            try:
                job = chunk.popleft()
            except IndexError:  # the guard took the last one
                break
            seat.tag = job.tag
            seat.taken += 1
            count += 1
            if self.stopping:
                self.release([job.tag])
                continue
            try:
                if job.lane is None or not job.lane(job, seat):
                    self.decline(job)
                    self.ring()
            except BaseException as exc:  # a bug of ours
                emit("lane.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
                OPEN.commit = OPEN.own = HERE.window = seat.running = None
                self.release([job.tag], started=True)
                sleep(FAILED_PAUSE_SECONDS)
            if self.hungry and len(chunk) == 0:
                self.ring()
        seat.tag = ""
        if count:
            seat.seconds += WEIGHT * ((monotonic() - began) / count - seat.seconds)

    def _celery(self, args: Any, kwargs: Any) -> None:
        found = self._task(args)
        seat = self.seat
        if found is None or seat is None:
            self._celerys(args, kwargs)
            return
        if self.alone is not None:
            self.wait_for(seat)
        seat.tag = tag = found[2]
        start = self.start_of(tag)
        if start is None:
            self._celerys(args, kwargs)
        else:
            with self.started(seat, tag, start) as alone:
                if not self.stopping and self.count_start(tag, start, alone):
                    self.counted(seat)
                    self._celerys(args, kwargs)
        seat.tag = ""

    def _celerys(self, args: Any, kwargs: Any) -> None:
        began = monotonic()
        commit = OPEN.commit = OPEN.own = self._opened(args)
        seat = self.seat
        if seat is not None:
            running = seat.running = self._limited(args, kwargs, commit)
            if running is not None and running.soft:
                HERE.window, HERE.running = seat.window, running
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
            if seat is not None:
                seat.running = None
        if seat is not None:
            seat.seconds += WEIGHT * ((monotonic() - began) - seat.seconds)
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

    # One alone

    def counted(self, seat: Seat) -> None:
        """The start of a message that came back is counted. If it runs alone, its time alone begins now."""
        if self.alone is not None and self.alone.seat is seat:
            self.alone.begin()

    @contextmanager
    def started(self, seat: Seat, tag: str, start: Start) -> Iterator[bool]:
        """Around a start of a message that came back. Yields whether it runs alone. The last start that a message may
        have is one alone: the other threads first finish what they run, as far as there is time, and start nothing.
        When its time alone is over, the guard lets them start again."""
        if not start.alone_seconds or len(self.seats) < 2:
            yield bool(start.alone_seconds)
            return
        alone = self._wait_to_be_alone(seat, tag, start.alone_seconds)
        try:
            yield alone is not None
        finally:
            if alone is not None and self.alone is alone:
                self.drain(1.0)  # else, if the next message ends the process, this one would be held for the cause
                self.end_alone(alone)

    def _wait_to_be_alone(self, seat: Seat, tag: str, seconds: float) -> Alone | None:
        """None: the others ran on for too long, or the pool stops."""
        alone = Alone(seat, tag, seconds)
        seat.waiting = True
        while not self._begin_alone(alone):
            if self.stopping:
                seat.waiting = False
                return None
            sleep(0.002)
        seat.waiting = False
        deadline = monotonic() + seconds
        while any(one.busy and not one.waiting for one in self.seats if one is not seat):
            if self.stopping or monotonic() > deadline:
                self.end_alone(alone)
                return None
            sleep(0.002)
        return alone

    def _begin_alone(self, alone: Alone) -> bool:
        with self._alone_lock:
            if self.alone is None:
                self.alone = alone
            return self.alone is alone

    def end_alone(self, alone: Alone) -> None:
        """The others may start again."""
        with self._alone_lock:
            if self.alone is alone:
                self.alone = None

    def wait_for(self, seat: Seat) -> None:
        """Wait until no other message runs alone, or until the pool stops."""
        while self.alone is not None and self.alone.seat is not seat and not self.stopping:
            seat.waiting = True
            while self.alone is not None and not self.stopping:
                sleep(0.002)
            seat.waiting = False  # then look once more: another thread may have counted this one as waiting just now

    # Limits

    def interrupt(self, seat: Seat, running: Running) -> bool:
        """Raise SoftTimeLimitExceeded in this body, at its next line of Python; False: it does not run now."""
        return seat.window.interrupt(running)

    # The end

    def on_close(self) -> None:
        """Nothing more is started; what is claimed and not started goes back."""
        self.stopping = True
        self.give_back()

    def give_back(self) -> list[str]:
        """Take back what no thread has started, and release it; the tags."""
        with self._returning:
            tags: list[str] = []
            for seat in self.seats:
                while seat.chunk:
                    try:
                        tags.append(seat.chunk.pop().tag)
                    except IndexError:  # the thread took the last one
                        break
            celerys = []
            while True:
                try:
                    given = self.inbox.get_nowait()
                except Empty:
                    break
                if _is_celerys(given):
                    celerys.append(given)
                else:
                    tags += (job.tag for job in given)
            for given in celerys:
                self.inbox.put(given)
            self._returned += len(tags)
        self.release(tags)
        return tags

    def on_stop(self) -> None:
        """What runs is finished, as far as the time allows."""
        self.on_close()
        deadline = monotonic() + self.stop_seconds
        while monotonic() < deadline and (not self.inbox.empty() or any(seat.busy for seat in self.seats)):
            if state.should_terminate not in (None, False):  # told once more: now
                deadline = monotonic()
            sleep(0.005)
        self._acknowledge()
        left = [seat.running for seat in self.seats if seat.running is not None]
        if left:
            emit("worker.stop_overdue", running=[one.id for one in left])
        self.end(max(1.0, deadline - monotonic()))

    def on_terminate(self) -> None:
        """A cold stop: what is finished is committed, all else goes back, what runs included."""
        self.on_close()
        self._acknowledge()
        self.end(1.0)

    def _acknowledge(self) -> None:
        """Celery's own way acknowledges through the event loop, which has ended."""
        if self.hub is not None:
            for callback in self.hub._pop_ready():  # noqa: SLF001  there is no public way
                callback()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()  # type: ignore[misc]  # celery-types does not know it
        return {**info, "threads": len(self.seats), "processes": [os.getpid()]}

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


def _is_celerys(given: Any) -> bool:
    """Whether this is a call of Celery's own way (arguments and keywords), not jobs of lanes."""
    return type(given) is tuple and type(given[0]) is not Job
