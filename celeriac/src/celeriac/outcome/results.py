"""Result backends. Inside a task, a result in the broker's Redis becomes part of the outcome."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from json.encoder import encode_basestring_ascii as quoted
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from celery import signals, states
from celery._state import get_current_task
from celery.app.task import Context
from celery.backends.redis import RedisBackend, SentinelBackend
from celery.exceptions import SoftTimeLimitExceeded
from kombu.exceptions import EncodeError
from redis.exceptions import RedisError

from celeriac.broker.url import same_redis
from celeriac.correlation import named
from celeriac.events import emit, listening, own_events, transition
from celeriac.life.pack import cause_of, error_text
from celeriac.message.frame import dumps, encode
from celeriac.outcome.commit import HOME, OPEN, STATING, Commit, NotCommitted, closed, ending
from celeriac.outcome.hooks import commit_before
from celeriac.outcome.unclaimed import publish_ahead, publish_ahead_of
from celeriac.retry.policy import refused_for_now

# For results in another Redis, which may be away. A task that is done waits so long for it; then its outcome is
# committed without a result, and for some seconds no task waits again.
PATIENCE_SECONDS = 3.0
DOWN_SECONDS = 5.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0  # between attempts to tell a chord
ENDS = states.READY_STATES | {states.RETRY}


@contextmanager
def unread() -> Iterator[None]:
    """Inside, Celery reads a result in order to store one; the task itself does not read."""
    was, OPEN.looks = OPEN.looks, False
    try:
        yield
    finally:
        OPEN.looks = was


def _follow(task_id: str, event: str, *given: Any, **more: Any) -> None:
    """Tell listeners of the end of a plain task, once it is committed. (Celery logs it. A contract does this itself.)
    `given`, `more`: what Celery says of it; its request is among them."""
    commit = OPEN.commit
    if not listening() or (commit is not None and commit.task_id != task_id):
        return
    request = next((one for one in (*given, *more.values()) if isinstance(one, Context)), None)
    if commit is None and request is None:  # a client, or remote control, marks an id: no message has ended
        return
    headers = commit.headers if commit is not None else vars(request)
    fields = named(headers, task_id)
    if fields["task"] in own_events:
        return
    if commit is None:
        transition(event, logged=False, **fields)
    else:
        commit.then(lambda: transition(event, logged=False, **fields))


def _note(task_id: str, state: str, error: Any = None) -> None:
    """For the record of its end, which Celery's tracer decides."""
    commit = OPEN.commit
    if commit is None or commit.task_id != task_id or commit.dead_key:
        return
    commit.note(state=state)
    if isinstance(error, BaseException) and commit.facts is not None:
        commit.facts.setdefault("error", error_text(cause_of(error)))


class _Clock:
    """ISO time, made once a millisecond."""

    def __init__(self) -> None:
        self._at, self._text = 0.0, ""

    def now(self) -> str:
        now = monotonic()
        if now - self._at > 0.001:
            self._text = datetime.now(UTC).isoformat()
            self._at = now
        return self._text


class Followed:
    """What follows an end, of any backend: the end is committed before hooks run, and before a chord or the rest of a
    chain is told of it."""

    if TYPE_CHECKING:  # of Celery's backend
        app: Any
        always_retry: bool

        def exception_safe_to_retry(self, exc: Exception) -> bool: ...

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """As Celery's. But a soft time limit is ignored while the end of a task is stored: its body has ended."""
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)  # type: ignore[misc]  # Celery's
        except SoftTimeLimitExceeded:
            if state not in ENDS:
                raise
            return super().store_result(task_id, result, state, *args, **kwargs)  # type: ignore[misc]  # Celery's

    def mark_as_done(self, task_id: str, result: Any, request: Any = None, *args: Any, **kwargs: Any) -> None:
        _note(task_id, states.SUCCESS)
        with ending():
            super().mark_as_done(task_id, result, request, *args, **kwargs)  # type: ignore[misc]  # Celery's
        _follow(task_id, "task.succeeded", request)
        commit = OPEN.commit
        if commit is not None and commit.task_id == task_id:
            commit.done = True
        commit_before(task_id, signals.task_success, "on_success", "after_return")

    def mark_as_failure(self, task_id: str, exc: Any, *args: Any, **kwargs: Any) -> None:
        _note(task_id, states.FAILURE, exc)
        with ending():
            super().mark_as_failure(task_id, exc, *args, **kwargs)  # type: ignore[misc]  # Celery's
        _follow(task_id, "task.failed", *args, **kwargs)
        commit_before(task_id, signals.task_failure, "on_failure", "after_return")

    def mark_as_retry(self, task_id: str, exc: Any, *args: Any, **kwargs: Any) -> Any:
        _note(task_id, states.RETRY, exc)
        with ending():
            stored = super().mark_as_retry(task_id, exc, *args, **kwargs)  # type: ignore[misc]  # Celery's
        _follow(task_id, "task.retrying", *args, **kwargs)
        commit_before(task_id, signals.task_retry, "on_retry")
        return stored

    def mark_as_revoked(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        _note(task_id, states.REVOKED)
        OPEN.revoked = task_id
        with ending():
            super().mark_as_revoked(task_id, *args, **kwargs)  # type: ignore[misc]  # Celery's
        _follow(task_id, "task.revoked", *args, **kwargs)

    def _store_end(self) -> None:
        """The end of this thread's task, before others are told of it: its chord, or the rest of its chain, which ends
        with it. Raises NotCommitted where its message is somebody else's."""
        commit, committer = OPEN.commit, HOME.committer
        if commit is None or committer is None or not commit.tag or not OPEN.ending:
            return
        if not committer.store(commit):
            raise NotCommitted("its message is somebody else's")

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> None:
        """Tell the chord at once, after the result of this part is stored: the last part of a chord reads the results
        of all the others. A run that is refused does not tell."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._tell_chord(request, state, result, *args, **kwargs)
            except Exception as exc:
                if not (self.always_retry and self.exception_safe_to_retry(exc)):
                    raise
                emit("chord.not_told", level=logging.WARNING, task_id=request.id, error=str(exc))
            else:
                return
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _tell_chord(self, request: Any, *args: Any, **kwargs: Any) -> None:
        self._store_end()
        with closed():
            super().on_chord_part_return(request, *args, **kwargs)  # type: ignore[misc]  # Celery's


class Elsewhere(Followed):
    """Over any backend but Redis's. What it stores is no part of the outcome: it is stored first, and the rest follows.
    So if a worker dies in between, or has lost its message, the body runs again and the result is overwritten."""

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        commit = OPEN.commit
        if commit is not None and commit.task_id != task_id:
            self._store_end()
        with closed():  # some backends store by a message
            return super().store_result(task_id, result, state, *args, **kwargs)

    # What a task reads. It may wait for what it has sent, so that goes out at once

    def get_task_meta(self, task_id: str, *args: Any, **kwargs: Any) -> Any:
        self._send_ahead(task_id)
        return super().get_task_meta(task_id, *args, **kwargs)  # type: ignore[misc]  # Celery's

    def get_many(self, task_ids: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = list(task_ids)
        self._send_ahead(*wanted)
        return super().get_many(wanted, *args, **kwargs)  # type: ignore[misc]  # Celery's

    def wait_for_pending(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        self._send_ahead(str(result.id))
        return super().wait_for_pending(result, *args, **kwargs)  # type: ignore[misc]  # Celery's

    def _send_ahead(self, *task_ids: str) -> None:
        own, app = OPEN.own, HOME.app or self.app
        if own is not None:
            if (own.children or own.due) and any(one != own.task_id for one in task_ids):
                publish_ahead(app, own)
            return
        for one in task_ids:  # in a thread that a body has started
            if commits := [commit for commit in HOME.commits() if commit.children or commit.due]:
                publish_ahead_of(app, commits, one)


class Results(Followed, RedisBackend):
    """Celery's backend, with these differences:

    - Inside a task, a result in the broker's Redis becomes part of the outcome.
    - A publish does not subscribe to the result. That saves a round trip for each publish; and no AsyncResult talks to
      Redis from its __del__, when Redis may be away.
    - A Redis that refuses writes for a while (it is full, …) counts as one that is away."""

    if TYPE_CHECKING:  # celery-types knows little of what is inherited
        app: Any
        expires: Any
        serializer: str
        always_retry: bool
        compression: str | None
        _get_result_meta: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = _Clock()
        self._down_until = 0.0
        self._lock = threading.Lock()

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Errors after which a worker stores again, until Redis takes it: see `storing_settings`. kombu counts KeyError
        among those of a connection; it says that what is stored cannot be read, now or later."""
        if isinstance(exc, KeyError):
            return False
        return refused_for_now(exc) or super().exception_safe_to_retry(exc)

    @property
    def shared(self) -> bool:
        """Whether results are in the broker's own database, so that one script can write both."""
        found: bool | None = self.__dict__.get("_shared")
        if found is None:
            found = self._shared = self._is_the_brokers()
        return found

    def _is_the_brokers(self) -> bool:
        conf = self.app.conf
        results, broker = conf.result_backend, conf.broker_url
        if results == broker:  # behind Sentinel, the name of the master counts, too
            options = conf.result_backend_transport_options, conf.broker_transport_options
            return len({one.get("master_name") for one in options}) == 1
        return isinstance(results, str) and isinstance(broker, str) and same_redis(results, broker)

    # Inside a task

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        commit = OPEN.commit
        own = commit is not None and task_id == commit.task_id
        if commit is None or not own or state not in ENDS or not OPEN.ending:  # a body's own state is seen at once
            if commit is not None and own:
                if state == states.STARTED:
                    return result  # the guard stores it, if the task runs for longer than 0.2 s
                with STATING:
                    commit.stated, commit.said = True, None  # this word is newer
                    commit.succeeded = commit.succeeded or state == states.SUCCESS
            if not own:
                self._store_end()
            with unread():
                return super()._store_result(  # type: ignore[misc]  # the same
                    task_id, result, state, traceback=traceback, request=request, **kwargs
                )
        if commit.succeeded:  # as Celery: a success stays
            return result
        if not self.shared:
            commit.stated = True  # first: STARTED is stored by another thread
            return self._store_elsewhere(task_id, result, state, traceback, request)
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        commit.result_key = self.get_key_for_task(task_id)
        commit.result = self.encode(meta)
        commit.result_seconds = self.expires_seconds
        return result

    def _store_elsewhere(self, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> Any:
        """Store the result first; the rest follows in the commit. If the result store is away, go on without: the body
        has run, and must not run again for that."""
        if monotonic() < self._down_until:
            return result
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        key, value = self.get_key_for_task(task_id), self.encode(meta)
        deadline, pause = monotonic() + PATIENCE_SECONDS, 0.05
        while True:
            try:
                self._once(key, value)
            except (RedisError, OSError) as exc:
                if monotonic() + pause < deadline:
                    sleep(pause)
                    pause *= 2
                    continue
                self._down_until = monotonic() + DOWN_SECONDS
                emit("result.not_stored", level=logging.ERROR, task_id=task_id, error=str(exc))
            return result

    def _once(self, key: Any, value: Any) -> None:
        with self.client.pipeline() as pipe:
            if self.expires_seconds:
                pipe.setex(key, self.expires_seconds, value)
            else:
                pipe.set(key, value)
            pipe.publish(key, value)
            pipe.execute()

    @property
    def expires_seconds(self) -> int:
        """0: results are kept for ever."""
        return int(self.expires or 0)

    # What a task reads

    def get(self, key: Any) -> Any:
        value = super().get(key)
        return self._seen(key, value) if OPEN.looks else value

    def mget(self, keys: Any) -> Any:
        names = list(keys)
        values = super().mget(names)
        if not OPEN.looks:
            return values
        return [self._seen(key, value) for key, value in zip(names, values, strict=True)]

    def _seen(self, key: Any, value: Any) -> Any:
        """What a task sees when it reads a result: the same as with stock Celery.

        Its own state is what this run has stored so far. If another task has not ended, this body may have sent it, or
        sent a task that it waits for. So all that this body has sent goes out now, ahead of the outcome."""
        own = OPEN.own
        if own is None:
            self._sent_by_others(key, value)
            return value
        if key == self.get_key_for_task(own.task_id):
            if own.result_key == key:
                return own.result
            return value if own.stated else self._started(own) or value
        if (own.children or own.due) and not self._ended(value):
            publish_ahead(HOME.app or self.app, own)
        return value

    def _sent_by_others(self, key: Any, value: Any) -> None:
        """In a thread that a body has started: the body may have sent what is looked for."""
        commits = [one for one in HOME.commits() if one.children or one.due]
        if not commits or self._ended(value):
            return
        prefix: Any = self.get_key_for_task("x")[:-1]
        if key.startswith(prefix):
            publish_ahead_of(HOME.app or self.app, commits, key[len(prefix) :].decode())

    def _started(self, own: "Commit") -> bytes | None:
        """STARTED, which the guard stores only after 0.2 s. None if Celery would not store it for this task."""
        task = get_current_task()
        if task is None or task.request.id != own.task_id or not task.track_started:
            return None
        ignored = task.request.ignore_result
        if task.ignore_result if ignored is None else ignored:
            return None
        return self.started_meta(own.task_id, str(task.request.hostname))[1]

    def _ended(self, value: Any) -> bool:
        """Whether it is the result of a task that has ended. What is stored of a group has no status."""
        found = self.decode(value) if value else None
        return isinstance(found, dict) and found.get("status") in states.READY_STATES

    @property
    def success_meta(self) -> Any:
        """`write(commit, headers, value, is_json)` writes a success as Celery does, in a tenth of the time. None if the
        settings want something that it does not write."""
        conf = self.app.conf
        if not self.shared or self.serializer != "json" or self.compression or conf.result_extended:
            return None
        key: Any = self.get_key_for_task("x")
        prefix = key[:-1].decode()
        seconds, clock, prepared = self.expires_seconds, self._clock, self.prepare_value

        def write(commit: Commit, headers: dict[str, Any], value: Any, is_json: bool) -> None:
            try:
                text = value if is_json else encode(prepared(value))  # what `self.encode` ends in
            except Exception as exc:  # as kombu's own `dumps`
                raise EncodeError(exc) from exc
            if isinstance(text, bytes):
                text = text.decode()
            more = f', "group_id": {quoted(headers["group"])}' if headers.get("group") else ""
            if headers.get("parent_id"):
                more += f', "parent_id": {quoted(headers["parent_id"])}'
            commit.result_key = prefix + commit.task_id
            commit.result_seconds = seconds
            commit.result = (
                f'{{"status": "SUCCESS", "result": {text}, "traceback": null, "children": [], '
                f'"date_done": "{clock.now()}"{more}, "task_id": {quoted(commit.task_id)}}}'
            )

        return write

    def started_meta(self, task_id: str, hostname: str) -> tuple[Any, bytes, int]:
        """Key, value and life (s) of the state STARTED."""
        return self._meta(task_id, states.STARTED, {"pid": os.getpid(), "hostname": hostname})

    def progress_meta(self, task_id: str, done: float, note: str) -> tuple[Any, bytes, int]:
        """The same of PROGRESS: a state of our own, as Celery's `update_state` would store it."""
        return self._meta(task_id, "PROGRESS", {"progress": done, "note": note})

    def _meta(self, task_id: str, status: str, result: dict[str, Any]) -> tuple[Any, bytes, int]:
        meta: dict[str, Any] = {
            "status": status,
            "result": result,
            "traceback": None,
            "children": [],
            "date_done": None,
            "task_id": task_id,
        }
        value = dumps(meta) if self.serializer == "json" else self.encode(meta)
        return self.get_key_for_task(task_id), value, self.expires_seconds


class SentinelResults(Results, SentinelBackend):
    """The same over Sentinel: sentinel://."""


@cache
def ours(kind: type[Any]) -> type[Any]:
    """Our backend in place of this one, or over it. The schemes of URLs stay, so that stock Celery reads the same
    results."""
    if issubclass(kind, Followed):
        return kind
    if kind in (RedisBackend, SentinelBackend):
        return Results if kind is RedisBackend else SentinelResults
    base: type[Followed] = Elsewhere
    if issubclass(kind, RedisBackend):
        base = SentinelResults if issubclass(kind, SentinelBackend) else Results
    return type(kind.__name__, (base, kind), {"__module__": kind.__module__})
