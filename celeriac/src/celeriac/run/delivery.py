"""Celery's own way: unusual messages are handed to Celery's consumer, and Celery acknowledges or rejects them."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import redis
from celery.states import REVOKED
from celery.worker import state as celerys
from kombu.utils.json import dumps
from redis.exceptions import RedisError

from celeriac.broker import keys
from celeriac.broker.lists import queue_of
from celeriac.events import emit
from celeriac.lease.leases import STOPS, Leases
from celeriac.lease.starts import Start, Starts
from celeriac.life.pack import AHEAD, REQUEUED, UNKNOWN, facts_of
from celeriac.message.reading import loads
from celeriac.message.schema import OLD_ETA, legible, refusal
from celeriac.outcome.commit import OPEN, Commit
from celeriac.outcome.committer import Committer
from celeriac.retry.classification import of_the_broker
from celeriac.run.ends import Ends, links_of
from celeriac.run.refusals import Refusals
from celeriac.run.threads import Job

AGAIN_SECONDS = 0.2  # between two attempts to hand over a message while the broker is away
POISON = "started {} times, and each time its worker died or was ended for it"

state: Any = celerys  # celery-types knows half of it


class Delivery:
    """One for each app of a worker.

    `add` is for all threads: `waiting` is a deque. In our pool, task threads call `open`, `come_back`, `fail` and
    `count_start`, each for the message that it runs; `release` is for all threads. All else is called by the
    consumer's thread. Two threads never work on the same tag, so the dictionaries need no lock."""

    def __init__(
        self,
        app: Any,
        client: redis.Redis,
        committer: Committer,
        leases: Leases,
        starts: Starts,
        ends: Ends,
        refusals: Refusals,
        *,
        in_celerys_pool: bool,
    ) -> None:
        """`in_celerys_pool`: tasks run in one of Celery's own pools (prefork, solo)."""
        self.app, self.client, self.committer, self.leases = app, client, committer, leases
        self.starts, self.ends, self.refusals, self.in_celerys_pool = starts, ends, refusals, in_celerys_pool
        self.channel: Any = None  # the newest
        self.waiting: deque[Job] = deque()
        self.delivered: dict[str, dict[str, Any]] = {}  # tag -> headers, of messages that Celery has
        self.commits: dict[str, Commit] = {}  # tag -> commit, of those that run
        self.ended: dict[str, tuple[str, str]] = {}  # tag -> state, error: of what failed in a pool of Celery's own
        self.died: dict[str, bool] = {}  # tag -> whether its process died, of messages that Celery will reject now
        self._again_at = 0.0

    def add(self, job: Job) -> None:
        """Let a message go Celery's own way; for all threads."""
        self.waiting.append(job)

    def pump(self) -> None:
        """Hand to Celery what waits."""
        while self.waiting and monotonic() >= self._again_at:
            job = self.waiting.popleft()
            if job.tag not in self.leases.held:  # the lease was lost, or the message was given back
                continue
            error: Exception | None = None
            tasks, accepted = self.app.tasks, self.app.conf.accept_content
            refused = refusal(job.message, tasks, accepted, pickled=self.in_celerys_pool)
            if refused is None:
                try:
                    self._deliver(job)
                    continue
                except Exception as exc:  # whatever a message does to Celery, it must not end the consumer
                    self.delivered.pop(job.tag, None)
                    if of_the_broker(exc):
                        self._try_again(job, exc)
                        return
                    error, refused = exc, ("undecodable", f"{type(exc).__name__}: {exc}")
            known, links = legible(job.message), links_of(job.message)
            self.ends.dead(Commit(job.tag), *refused, job.list_key, known, links=links)
            self.refusals.send(job.message, refused[0], error)

    def _try_again(self, job: Job, error: Exception) -> None:
        """The broker is at fault, or the network. The message stays claimed, its lease is renewed, and it is the first
        to be tried again."""
        emit("message.not_delivered", level=logging.WARNING, error=str(error), tag=job.tag)
        self.waiting.appendleft(job)
        self._again_at = monotonic() + AGAIN_SECONDS

    def _deliver(self, job: Job) -> None:
        headers = job.message["headers"]
        if "task" not in headers and (eta := job.message.pop(OLD_ETA)):
            self._put_off(job, eta)
            return
        start = self.starts.next(job.tag)
        if start is not None:
            job.message["properties"]["delivery_info"]["redelivered"] = True
            counted = start.counted
            if start.poison or (self.in_celerys_pool and counted >= self.starts.max_starts):
                why, links = POISON.format(counted), links_of(job.message)
                self.ends.dead(Commit(job.tag), "poison", why, job.list_key, headers, starts=counted, links=links)
                return
            # Our pool counts it when a thread begins it.
            if self.in_celerys_pool and not self.count_start(job.tag, start, alone=False):
                return
        if headers.get("eta"):
            # The claim found it due by Redis's clock. The clock of this machine may differ, so Celery must not look
            # again.
            headers["due_at"], headers["eta"] = headers["eta"], None
        address(job.message["properties"]["delivery_info"], job.list_key)
        job.message["properties"]["delivery_tag"] = job.tag  # under which Redis knows it
        self.delivered[job.tag] = headers
        self.channel.connection._deliver(job.message, queue_of(job.list_key))  # noqa: SLF001  kombu's own way in

    def _put_off(self, job: Job, eta: str) -> None:
        """Let a message of protocol 1 wait in Redis, as others do: its ETA is copied to a header, where a claim
        looks."""
        due = datetime.fromisoformat(eta)
        due = (due if due.tzinfo else due.replace(tzinfo=UTC)).astimezone(UTC)
        message = {**job.message, "headers": {**job.message["headers"], "eta": due.isoformat()}}
        commit = Commit(job.tag)
        commit.add_due(job.list_key, dumps(message), 0)
        commit.note(state=REQUEUED, reason="its ETA is ahead")
        self.committer.submit(commit)

    def count_start(self, tag: str, start: Start, alone: bool) -> bool:
        """Count a start. False: the message is not ours any more."""
        if self.starts.count(tag, start, alone=alone):
            return True
        self.delivered.pop(tag, None)
        return False

    # What Celery says of them

    def acknowledge(self, tag: str) -> None:
        """Celery acknowledges: commit what its tracer has left in the open commit."""
        headers = self.delivered.pop(tag, None) or {}
        commit = self.commits.pop(tag, None) or self._known(tag, headers)
        if OPEN.revoked and OPEN.revoked == commit.task_id:
            commit.note(state=REVOKED)
        elif self.in_celerys_pool:
            self._note_end(tag, commit)
        if commit.verdict is None:  # else it was committed before its hooks ran
            self.committer.submit(commit)

    def _note_end(self, tag: str, commit: Commit) -> None:
        """How a body ended in a pool of Celery's own; what its process has written down itself is not told again."""
        task: Any = self.app.tasks.get(commit.task)
        if task is None or not task.acks_late:  # then it is acknowledged before it runs
            return
        state, error = self.ended.pop(tag, ("SUCCESS", ""))
        work = getattr(getattr(task, "work", None), "__self__", None)
        if work is not None and (state == "FAILURE" or (state == "SUCCESS" and work.recorded)):
            state = AHEAD
        commit.note(state=state, error=error)

    def open(self, tag: str, request: dict[str, Any]) -> Commit | None:
        """Open the commit of a task that starts on Celery's own way; None if its message is not ours any more."""
        if tag not in self.leases.held:
            return None
        commit = self.commits[tag] = self._known(tag, request)
        commit.headers = request
        return commit

    @staticmethod
    def _known(tag: str, headers: Mapping[str, Any]) -> Commit:
        """How it ends is for Celery's tracer to say; in its own pools, it does not say so here."""
        commit = Commit(tag, str(headers.get("id") or ""), str(headers.get("task") or ""))
        commit.facts = {"state": UNKNOWN, **facts_of(headers)}
        return commit

    def reject(self, tag: str, *, requeue: bool, commit: Commit | None = None, error: Exception | None = None) -> None:
        """Celery rejects: the message goes back into its queue, or becomes a dead letter. `commit` and `error` are
        given for a body that a runner ran."""
        headers = self.delivered.pop(tag, None)
        self.ended.pop(tag, None)
        commit = self.commits.pop(tag, None) or commit or Commit(tag)
        if commit.verdict is not None:
            return
        if requeue:
            died = self.died.pop(tag, self.in_celerys_pool)
            if died or state.should_terminate:  # a stop ends processes: no death
                self.leases.release([tag], started=died and not state.should_terminate)
            else:
                self._again(tag, commit)
            return
        held = self.leases.held.get(tag)
        list_key = held.list_key if held else ""
        known, text = commit.headers or headers or {}, f"rejected: {error}" if error is not None else "rejected"
        told_by_celery = headers is not None
        self.ends.dead(
            commit, "permanent", text, list_key, known, links=known, failure=error, caller_knows=told_by_celery
        )

    def _again(self, tag: str, commit: Commit) -> None:
        """The task asks for another delivery (`Reject(requeue=True)`): the message goes to the end of its queue,
        marked as redelivered. What the body has published is dropped."""
        held = self.leases.held.get(tag)
        try:
            entry: Any = self.client.hget(keys.UNACKED, tag)
            message = loads(entry)[0]
            message["properties"]["delivery_info"]["redelivered"] = True
        except (RedisError, OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            emit("message.not_marked", level=logging.WARNING, error=str(exc))
            self.leases.release([tag])
            return
        commit.discard()
        if held is not None:
            commit.add_child(held.list_key, dumps(message))
        commit.note(state=REQUEUED, reason="its task has asked for it")
        self.committer.submit(commit)

    def release(self, tags: Iterable[str], *, started: bool = False, why: str = STOPS) -> int:
        """Give claimed messages back, also those that went Celery's own way."""
        given = list(tags)
        for tag in given:
            self.delivered.pop(tag, None)
            self.commits.pop(tag, None)
        return self.leases.release(given, started=started, why=why)

    def come_back(self, tag: str) -> None:
        """Give back a message on Celery's own way whose body had begun; how it ended is not known. The next start
        counts."""
        self.release([tag], started=True)

    def fail(self, commit: Commit, headers: Any, error: Exception, links: Mapping[str, Any]) -> None:
        """End a message on Celery's own way whose body has ended, but Celery could not tell the caller."""
        held = self.leases.held.get(commit.tag)
        self.delivered.pop(commit.tag, None)
        self.commits.pop(commit.tag, None)
        if commit.done and commit.verdict is None:  # a listener failed: the outcome stays
            self.committer.submit(commit)
        elif held is not None:
            why, known = f"{type(error).__name__}: {error}", legible({"headers": headers})
            self.ends.dead(commit, "permanent", why, held.list_key, known, links=links)


def address(delivery_info: dict[str, Any], list_key: str) -> None:
    """Write into the message which queue it came from: its retry and its dead letter go there. What its sender wrote
    may be wrong, or name an exchange that is not known here."""
    delivery_info["exchange"], delivery_info["routing_key"] = "", queue_of(list_key)
