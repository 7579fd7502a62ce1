"""How far a task is, in its own words. Nothing is sent when a body says it: the guard sends the newest word.

In Celery's prefork and solo pools, and over kombu's transport, no guard sees it: the body's own thread sends it."""

import threading
from time import monotonic
from typing import Any

from celery._state import get_current_task
from celery.exceptions import SoftTimeLimitExceeded
from redis.exceptions import RedisError

from celeriac.broker import keys
from celeriac.life.pack import Progress, packed
from celeriac.life.scribe import scribe_of
from celeriac.outcome.commit import OPEN, Commit, Said
from celeriac.outcome.committer import SAID, STATE
from celeriac.outcome.unclaimed import NO_CLAIM, client_of_outcomes

LONGEST_NOTE = 200
PAUSE_SECONDS = 0.2  # of one task, between two words that are sent
AWAY_SECONDS = 5.0  # then a Redis that did not answer is tried again: a body does not wait for it meanwhile


class _Here(threading.local):
    task_id = ""
    again_at = 0.0


HERE = _Here()


def checked(done: float, note: str) -> Said:
    """Raises ValueError for what is no share of the work."""
    if not 0 <= done <= 1:
        raise ValueError(f"progress is a number from 0 to 1, and this is {done!r}")
    return done, note if len(note) <= LONGEST_NOTE else note[: LONGEST_NOTE - 1] + "…"


def progress(done: float, note: str = "") -> None:
    """Say how far the current task is, from 0 to 1: `celeriac.progress(0.4, "resized 4 of 10")`. For plain Celery
    tasks; a handler has `outcome.progress`. The state of the task is PROGRESS then, its `info` is
    `{"progress": 0.4, "note": "…"}`. It costs nothing to call it often: the newest word is sent, five times a second at
    most. Outside a task it does nothing. Raises ValueError for other numbers; a note is cut at 200 characters."""
    said = checked(done, note)
    task: Any = get_current_task()
    if task and not task.request.is_eager:
        say(OPEN.own, said)


def say(commit: Commit | None, said: Said) -> None:
    """Of the task of this commit; without one, of Celery's current task."""
    if commit is not None:
        commit.said = said
        if commit.tag:  # the guard sends it
            return
    _send(commit, said)


def state_of(backend: Any, task: Any, ignored: bool | None, task_id: str, said: Said) -> tuple[Any, Any, int]:
    """Key, value and life (s) of the state PROGRESS; without a key where it is not to be stored. (A store elsewhere
    may be away, and progress waits for nobody.)"""
    if (task.ignore_result if ignored is None else ignored) or not getattr(backend, "shared", False):
        return "", b"", 0
    stored: tuple[Any, Any, int] = backend.progress_meta(task_id, *words(said))
    return stored


def words(said: Said) -> Said:
    """As they are sent."""
    done, note = said
    return float(done), note.encode(errors="replace").decode()


def _send(commit: Commit | None, said: Said) -> None:
    """From the body's own thread. (A thread that the body has started may outlive it.)"""
    task: Any = get_current_task()
    if not task or task.request.is_eager or not task.request.id:
        return
    task_id, now = str(task.request.id), monotonic()
    if HERE.task_id == task_id and now < HERE.again_at:
        return
    HERE.task_id, HERE.again_at = task_id, now + PAUSE_SECONDS
    record_key = (commit.record_key if commit is not None else "") or keys.once(task_id)
    result_key, value, seconds = state_of(task.backend, task, task.request.ignore_result, task_id, said)
    client = client_of_outcomes(task.app)
    scribe, tag = scribe_of(task.app), str((task.request.get("properties") or {}).get("delivery_tag") or "")
    who = str(task.request.hostname or scribe.who)
    record = packed(Progress(who, tag, task_id, task.name, *words(said))) if scribe.length else b""
    try:
        STATE(client, [keys.LEASES, result_key, record_key], ["", NO_CLAIM, value, seconds, SAID, record])
    except (RedisError, OSError):
        HERE.again_at = monotonic() + AWAY_SECONDS
    except SoftTimeLimitExceeded:  # perhaps in the middle of the call: its answer may still come
        client.connection_pool.disconnect(inuse_connections=False)
        raise
