"""Outcomes without a claim: in Celery's prefork and solo pools, and over kombu's own transport. Record, effects and
messages are one step; the result and the acknowledgement follow. If the worker dies in between, the body runs again,
and the record makes that harmless."""

import logging
import math
from collections.abc import Iterable
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import redis
from celery.exceptions import SoftTimeLimitExceeded
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as Silent
from redis.retry import Retry

from celeriac.broker import keys
from celeriac.broker.client import client_of
from celeriac.broker.scripts import Script
from celeriac.errors import PermanentError
from celeriac.events import emit
from celeriac.life.pack import AHEAD, outcomes
from celeriac.life.scribe import Scribe, scribe_of
from celeriac.message.reading import Undecodable, loads, raw_body
from celeriac.outcome.commit import SENDING, Commit, packed
from celeriac.redaction import redact
from celeriac.retry.policy import refused_for_now

if TYPE_CHECKING:
    from celery import Celery

OUTCOME = Script("outcome/outcome")
NO_CLAIM = "none"  # in place of a fence
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0  # between attempts to reach a Redis that takes nothing
FEW = 5  # attempts for an outcome that is not kept until Redis takes it
TELL_SECONDS = 30.0  # between two lines in the log about it
UNANSWERED = (Lost, Silent, OSError)  # Redis may have done it


def commit_unclaimed(app: "Celery", commit: Commit, raw: bytes = b"", *, kept: bool = True, who: str = "") -> bool:
    """Commit in this thread. False: there was a record, and nothing happened. `raw` is the message, for a dead letter;
    `who`: the worker, for the record.

    `kept`: try until Redis takes it, because the body has ended and must not run again; a soft time limit that comes
    now is ignored. Otherwise try for about a second, then raise the error of redis-py. Raises PermanentError if Redis
    will never take it."""
    if not (commit.record_key or commit.effects or commit.children or commit.dead_key or commit.due):
        return True
    if commit.dead_key:
        commit.effects = [("XADD", commit.dead_key, "*", "raw", raw, "about", commit.dead_about)]
        commit.dead_key = ""
    # After a lost answer it is sent again, and must not be done twice. Its record prevents that; without one, a mark.
    commit.tag = "" if commit.record else f"{keys.UNCLAIMED}{uuid4()}"
    commit.until = commit.since and monotonic()
    scribe = scribe_of(app)
    scribe = scribe._replace(who=who or scribe.who)
    attempts = _Attempts(client_of_outcomes(app), commit, math.inf if kept else FEW, scribe)
    answer = None
    while answer is None:
        try:
            answer = attempts.next()
        except SoftTimeLimitExceeded:
            attempts.interrupted()
            if not kept:
                raise
    _, repeated, left = answer
    if left:
        commit.record_key = ""  # that record is of other work: it must not prevent the dead letter of this message
        raise PermanentError(left[1].decode())
    attempts.forget()
    return not repeated


def publish_ahead(app: "Celery", commit: Commit) -> None:
    """Publish what a body has sent so far, ahead of its outcome: the body is going to wait for its result. As with
    stock Celery, a body that runs again publishes it again."""
    with SENDING:
        ahead = _taken(commit)
    _publish(app, ahead, commit, kept=False)


def publish_ahead_of(app: "Celery", commits: Iterable[Commit], task_id: str) -> None:
    """The same, for a thread of a body's own that waits for this task: ahead of the outcome that would send it."""
    for commit in commits:
        with SENDING:
            if commit.sealed or not _sends(commit, task_id.encode()):
                continue
            ahead = _taken(commit)
        _publish(app, ahead, commit, kept=True)  # its body may end meanwhile


def _taken(commit: Commit) -> Commit:
    ahead = Commit("", commit.task_id)
    ahead.children, ahead.due = commit.children, commit.due
    commit.children, commit.due, commit.of_the_work = (), (), 0
    ahead.note(state=AHEAD, sent=commit.facts.pop("sent", []) if commit.facts else [])
    return ahead


def _publish(app: "Celery", ahead: Commit, commit: Commit, *, kept: bool) -> None:
    try:
        commit_unclaimed(app, ahead, kept=kept)
    except BaseException:
        with SENDING:
            commit.children, commit.due = [*ahead.children, *commit.children], [*ahead.due, *commit.due]
            commit.note(sent=[*(ahead.facts or {})["sent"], *(commit.facts or {}).get("sent", [])])
        raise


def _sends(commit: Commit, task_id: bytes) -> bool:
    return any(_mentions(raw, task_id) for raw in (*commit.children[1::2], *commit.due[1::3]))


def _mentions(raw: str | bytes, task_id: bytes) -> bool:
    """Whether this message is the task's, or something that it leads to: a later part of a chain, a chord's body."""
    text = raw.encode() if isinstance(raw, str) else raw
    if task_id in text:
        return True
    try:
        body = raw_body(loads(text))
    except Undecodable:
        return False
    return task_id in (body.encode() if isinstance(body, str) else body)


class _Attempts:
    """The attempts to commit one outcome, until Redis answers."""

    def __init__(self, client: redis.Redis, commit: Commit, most: float, scribe: Scribe) -> None:
        self._client, self._commit, self._most, self._scribe = client, commit, most, scribe
        self._words = [1, *commit.arguments(NO_CLAIM)]
        self._failed = 0
        self._told_at = monotonic() - TELL_SECONDS + LONGEST_PAUSE_SECONDS  # the first 2 s are not worth a line
        self._in_doubt = False

    def next(self) -> Any:
        """One attempt. Returns the answer; or None, after a pause, if no answer came or Redis takes no writes now.
        Raises the error of the last attempt, and PermanentError if Redis will never take it."""
        try:
            who, length = self._scribe
            record = outcomes(who, [self._commit], again=self._in_doubt) if length else b""
            names = [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE]
            return OUTCOME(self._client, names, [packed(self._words), length, record])
        except (RedisError, OSError, ValueError, TypeError) as exc:
            unanswered = isinstance(exc, UNANSWERED)
            if not unanswered and not refused_for_now(exc):
                raise PermanentError(redact(str(exc))) from exc
            self._in_doubt = self._in_doubt or unanswered
            self._failed += 1
            if self._failed >= self._most:
                raise
            self._tell(exc)
        sleep(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failed - 1, 10)))
        return None

    def interrupted(self) -> None:
        """A soft time limit came, perhaps in the middle of a call. Drop the connections: an old answer may come on
        one."""
        self._in_doubt = True
        self._client.connection_pool.disconnect(inuse_connections=False)

    def forget(self) -> None:
        """Delete the mark: the answer is known. It stays, and expires, if an attempt may still be on its way to
        Redis."""
        if not self._commit.tag or self._in_doubt:
            return
        try:
            self._client.unlink(self._commit.tag)
        except (RedisError, OSError):
            return
        except SoftTimeLimitExceeded:
            self.interrupted()

    def _tell(self, error: Exception) -> None:
        if monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = monotonic()
            emit("outcome.waits", level=logging.WARNING, task_id=self._commit.task_id, error=redact(str(error)))


def client_of_outcomes(app: Any) -> redis.Redis:
    """One client for each process. (redis-py sees to it that a forked child does not use its parent's connections.) It
    tries nothing twice by itself: we must know when an answer was lost."""
    client: redis.Redis | None = getattr(app, "unclaimed_client", None)
    if client is None:
        client = app.unclaimed_client = client_of(
            app, socket_timeout=5.0, socket_connect_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
    return client
