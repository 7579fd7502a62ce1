"""Where claimed messages enter a worker: they are read, and given to the runner of their task, or Celery's own way."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from time import monotonic
from typing import Any

import redis
from celery.exceptions import ImproperlyConfigured
from kombu.utils.json import dumps
from redis.exceptions import RedisError

from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.broker.lists import queue_of
from celeriac.broker.options import Options
from celeriac.claim.claims import BATCH, Batch, Claims
from celeriac.claim.revocations import Revocations
from celeriac.events import emit
from celeriac.lease.leases import Lease, Leases
from celeriac.lease.restore import restore
from celeriac.lease.starts import PROVEN, Start, next_start
from celeriac.message.reading import loads
from celeriac.message.schema import OLD_ETA, check, legible, refusal
from celeriac.outcome.commit import STATING, Commit
from celeriac.outcome.committer import Committer
from celeriac.retry.classification import of_the_broker
from celeriac.run.celery_pool import CeleryPool
from celeriac.run.ends import Ends, links_of
from celeriac.run.guard import Guard
from celeriac.run.pool import TaskPool
from celeriac.run.refusals import not_taken
from celeriac.run.threads import Job, Running, TaskThread

AHEAD_SECONDS = 0.02  # of work that a worker claims in advance; other workers cannot start it meanwhile
TELL_FULL_SECONDS = 60.0
DELIVER_AGAIN_SECONDS = 0.2  # between two attempts to hand over a message while the broker is away
POISON = "started {} times, and each time its worker died or was ended for it"
END_SECONDS = 5.0  # for the last acknowledgements, once Celery's pool has stopped

RunJob = Callable[[Job, TaskThread], bool]
new = tuple.__new__  # a third of the time of calling Job


class Intake:
    """One for each app of a worker. It stays when the consumer reconnects; `channel` is the newest channel."""

    def __init__(self, app: Any, channel: Any, pool: Any, hostname: str, options: Options) -> None:
        self.app, self.hostname, self.options = app, hostname, options
        self.channel = channel
        self.runners: dict[str, RunJob | None] = {}
        self.starts: dict[str, int] = {}  # of messages that came back: tag -> starts counted
        self.declined: deque[Job] = deque()
        self.celerys: dict[str, dict[str, Any]] = {}  # tag -> headers, of messages that went Celery's own way
        self.opened: dict[str, Commit] = {}  # tag -> commit, of those that run
        self.died: dict[str, bool] = {}  # tag -> whether its process died, of messages that Celery will reject now
        client = redis.Redis(connection_pool=channel._get_pool())  # noqa: SLF001  a pool of our own, not the channel's
        self.client = client
        _refuse_cluster(client)
        connection = BrokerConnection(lambda: client)
        self.leases = Leases(connection, options.lease_seconds)
        self.committer = Committer(connection, self.leases, self._impossible)
        self.ends = Ends(app, hostname, self.committer.submit)
        self.pool = pool if isinstance(pool, TaskPool) else None
        self.celery_pool = None if self.pool is not None else CeleryPool(pool)
        self._full_logged_at: dict[str, float] = {}
        self._pump_at = 0.0
        self.claims = self._claims()
        self.revocations = Revocations(client)
        self._guard()

    def _claims(self) -> Claims:
        def later(seconds: float, callback: Callable[[], None]) -> Any:
            return self.hub.call_later(seconds, callback)

        return Claims(self.leases.lease_us, self.options.dead_letter_bound, later)

    def _guard(self) -> None:
        pool = self.pool or TaskPool(0)  # a pool of Celery's own: no task threads, but leases to renew
        pool.flush, pool.decline, pool.release = self.committer.flush, self._decline, self._release
        pool.open, pool.come_back, pool.fail = self.open, self._come_back, self._fail
        pool.commit_all, pool.start_of, pool.count_start = self.committer.commit_all, self.start_of, self._count_start
        guard = Guard(
            pool,
            self.committer,
            self.leases,
            restore=self.restore,
            show=self._show,
            revocations=self.revocations.look,
            restore_seconds=min(5.0, max(0.5, self.options.lease_seconds / 12)),
        )
        pool.end = self._end
        self.guard = guard
        guard.start()

    def _end(self, seconds: float) -> None:
        """At a stop: commit what is finished, and give the rest back."""
        self.committer.shut_down(seconds)
        self.guard.stop()

    def attach(self, channel: Any, consumer: Any) -> None:
        """A new connection of the consumer, and its event loop."""
        self.hub, self.consumer = consumer.hub, consumer
        if channel is not self.channel:
            self.channel = channel
            self.claims = self._claims()
            self.revocations.current = False
        channel.feed(self)
        if not self.revocations.current:
            try:
                self.revocations.start()
            except redis.RedisError as exc:  # the guard tries again; nothing is claimed before
                emit("revocations.not_read", level=logging.WARNING, error=str(exc))

    # Room

    def hungry(self) -> bool:
        """Whether the claim connection is to be read or written."""
        if self.channel._in_poll:  # noqa: SLF001  kombu's: an answer is under way, or the bell
            return True
        hungry = self.room() > 0
        if self.pool is not None:
            self.pool.hungry = not hungry
        return hungry

    def room(self) -> int:
        """How many messages to claim now: 20 ms of work, or for longer tasks one for each idle thread."""
        if not self.revocations.current:
            return 0
        prefetch = self.channel.qos.prefetch_count
        held = len(self.leases.held) + self.claims.asked
        pool = self.pool
        if pool is None:
            assert self.celery_pool is not None
            return int(prefetch or self.celery_pool.processes) - held
        if pool.stopping:
            return 0
        seconds = pool.seconds
        wanted = int(pool.limit * AHEAD_SECONDS / seconds) if seconds < AHEAD_SECONDS else pool.idle
        # What waits on Celery's own way (a rate limit) is held, too.
        room = min(BATCH, wanted - pool.unstarted - len(self.celerys) - self.claims.asked)
        return min(room, prefetch - held) if prefetch else room

    # Messages

    def receive(self, batch: Batch) -> None:
        """Hand out what a claim brought."""
        held, runners, jobs = self.leases.held, self.runners, []
        if batch.starts:
            for tag in [one for one in self.starts if one not in held]:  # they were given back without a start
                self.starts.pop(tag, None)
            self.starts.update(batch.starts)
        last, ours = "", Lease(batch.fence, "")
        for number, (list_key, raw) in enumerate(batch.messages):
            if list_key != last:  # one for all that came from the same list
                last, ours = list_key, Lease(batch.fence, list_key)
            tag = batch.tag(number)
            held[tag] = ours
            message, runner = None, None
            try:
                message = loads(raw)
                check(message)
                runner = runners.get(message["headers"].get("task"))
            except Exception as exc:  # to read it may raise anything; the other messages of the batch go on
                known, why = legible(message), f"{type(exc).__name__}: {exc}"
                self.bury(Commit(tag), "undecodable", why, list_key, known, links=links_of(message))
                self.not_taken(message, "undecodable", exc)
                continue
            jobs.append(new(Job, (runner, message, raw, tag, list_key)))
        for list_key in batch.full:
            self._tell_full(list_key)
        for letter in batch.letters:
            self.ends.dead_at_claim(*letter)
        if self.pool is not None:
            self.pool.take(jobs)
        else:
            self.declined.extend(jobs)
            self.pump()

    def _decline(self, job: Job) -> None:
        self.declined.append(job)

    def pump(self) -> None:
        """Hand messages that go Celery's own way to Celery. Called in the consumer's thread."""
        if self.revocations.pending:
            self.revocations.apply()
        while self.declined and monotonic() >= self._pump_at:
            job = self.declined.popleft()
            if job.tag not in self.leases.held:  # the lease was lost, or the message was given back
                continue
            error: Exception | None = None
            tasks, accepted = self.app.tasks, self.app.conf.accept_content
            refused = refusal(job.message, tasks, accepted, pickled=self.celery_pool is not None)
            if refused is None:
                try:
                    self._deliver(job)
                    continue
                except Exception as exc:  # whatever a message does to Celery, it must not end the consumer
                    self.celerys.pop(job.tag, None)
                    if of_the_broker(exc):
                        self._try_again(job, exc)
                        return
                    error, refused = exc, ("undecodable", f"{type(exc).__name__}: {exc}")
            known, links = legible(job.message), links_of(job.message)
            self.bury(Commit(job.tag), *refused, job.list_key, known, links=links)
            self.not_taken(job.message, refused[0], error)

    def _try_again(self, job: Job, error: Exception) -> None:
        """The broker is at fault, or the network. The message stays claimed, its lease is renewed, and it is the first
        to be tried again."""
        emit("message.not_delivered", level=logging.WARNING, error=str(error), tag=job.tag)
        self.declined.appendleft(job)
        self._pump_at = monotonic() + DELIVER_AGAIN_SECONDS

    def _deliver(self, job: Job) -> None:
        headers = job.message["headers"]
        if "task" not in headers and (eta := job.message.pop(OLD_ETA)):
            self._put_off(job, eta)
            return
        start = self.start_of(job.tag)
        if start is not None:
            job.message["properties"]["delivery_info"]["redelivered"] = True
            counted = start.counted
            if start.poison or (self.celery_pool is not None and counted >= self.options.max_starts):
                why, links = POISON.format(counted), links_of(job.message)
                self.bury(Commit(job.tag), "poison", why, job.list_key, headers, starts=counted, links=links)
                return
            # Our pool counts it when a thread begins it.
            if self.celery_pool is not None and not self._count_start(job.tag, start, alone=False):
                return
        if headers.get("eta"):
            # The claim found it due by Redis's clock. The clock of this machine may differ, so Celery must not look
            # again.
            headers["due_at"], headers["eta"] = headers["eta"], None
        address(job.message["properties"]["delivery_info"], job.list_key)
        job.message["properties"]["delivery_tag"] = job.tag  # under which Redis knows it
        self.celerys[job.tag] = headers
        self.channel.connection._deliver(job.message, queue_of(job.list_key))  # noqa: SLF001  kombu's own way in

    def _put_off(self, job: Job, eta: str) -> None:
        """Let a message of protocol 1 wait in Redis, as others do: its ETA is copied to a header, where a claim
        looks."""
        due = datetime.fromisoformat(eta)
        due = (due if due.tzinfo else due.replace(tzinfo=UTC)).astimezone(UTC)
        message = {**job.message, "headers": {**job.message["headers"], "eta": due.isoformat()}}
        commit = Commit(job.tag)
        commit.add_due(job.list_key, dumps(message), 0)
        self.committer.submit(commit)

    def start_of(self, tag: str) -> Start | None:
        """The next start of a message that came back; None for all other messages."""
        stored = self.starts.get(tag)
        return None if stored is None else next_start(stored, self.options.max_starts)

    def _count_start(self, tag: str, start: Start, alone: bool) -> bool:
        """Count a start. All finished outcomes are committed first: this message may end the process. False: the
        message is not ours any more."""
        self.committer.commit_all(1.0)
        counted, _ = self.leases.started(tag, by=start.by(alone=alone))
        self.starts.pop(tag, None)
        if counted < 0:
            self.leases.held.pop(tag, None)
            self.celerys.pop(tag, None)
        return counted >= 0

    # Ends

    def bury(
        self,
        commit: Commit,
        reason: str,
        error: str,
        list_key: str,
        headers: Any,
        *,
        starts: int | None = None,
        links: Mapping[str, Any] | None = None,
        failure: Exception | None = None,
        caller_knows: bool = False,
    ) -> None:
        """End this message as a dead letter; see `Ends.dead`."""
        counted = self.starts.pop(commit.tag, 0) % PROVEN if starts is None else starts
        self.ends.dead(
            commit,
            reason,
            error,
            list_key=list_key,
            headers=headers,
            links=links,
            starts=counted,
            failure=failure,
            caller_knows=caller_knows,
        )

    def not_taken(self, message: Any, reason: str, error: Exception | None) -> None:
        """Send Celery's signal for a message that is not taken."""
        try:
            not_taken(self.consumer, self.channel, message, reason, error)
        except Exception as exc:  # the message says something that the signal cannot say
            emit("signal.not_sent", level=logging.WARNING, error=str(exc))

    def acknowledge(self, tag: str) -> None:
        """Celery acknowledges: commit what its tracer has left in the open commit."""
        self.celerys.pop(tag, None)
        opened = self.opened.pop(tag) if tag in self.opened else Commit(tag)
        if opened.verdict is None:  # else it was committed before its hooks ran
            self.committer.submit(opened)

    def open(self, tag: str, request: dict[str, Any]) -> Commit | None:
        """Open the commit of a task that starts on Celery's own way; None if its message is not ours any more."""
        if tag not in self.leases.held:
            return None
        commit = self.opened[tag] = Commit(tag, request["id"])
        commit.headers = request
        return commit

    def reject(self, tag: str, *, requeue: bool, commit: Commit | None = None, error: Exception | None = None) -> None:
        """Celery rejects: the message goes back into its queue, or becomes a dead letter. `commit` and `error` are
        given for a body that a runner ran."""
        headers = self.celerys.pop(tag, None)
        commit = self.opened.pop(tag, None) or commit or Commit(tag)
        if commit.verdict is not None:
            return
        if requeue:
            from celery.worker import state

            died = self.died.pop(tag, self.celery_pool is not None)
            if died or state.should_terminate:  # a stop ends processes: no death
                self.leases.release([tag], started=died and not state.should_terminate)
            else:
                self._again(tag, commit)
            return
        held = self.leases.held.get(tag)
        list_key = held.list_key if held else ""
        known, text = commit.headers or headers or {}, f"rejected: {error}" if error is not None else "rejected"
        told_by_celery = headers is not None
        self.bury(commit, "permanent", text, list_key, known, links=known, failure=error, caller_knows=told_by_celery)

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
        self.committer.submit(commit)

    def _release(self, tags: Iterable[str], *, started: bool = False) -> int:
        """Give claimed messages back, also those that went Celery's own way."""
        given = list(tags)
        for tag in given:
            self.celerys.pop(tag, None)
            self.opened.pop(tag, None)
        return self.leases.release(given, started=started)

    def _come_back(self, tag: str) -> None:
        """Give back a message on Celery's own way whose body had begun; how it ended is not known. The next start
        counts."""
        self._release([tag], started=True)

    def _fail(self, commit: Commit, headers: Any, error: Exception, links: Mapping[str, Any]) -> None:
        """End a message on Celery's own way whose body has ended, but Celery could not tell the caller."""
        held = self.leases.held.get(commit.tag)
        self.celerys.pop(commit.tag, None)
        self.opened.pop(commit.tag, None)
        if commit.done and commit.verdict is None:  # a listener failed: the outcome stays
            self.committer.submit(commit)
        elif held is not None:
            why, known = f"{type(error).__name__}: {error}", legible({"headers": headers})
            self.bury(commit, "permanent", why, held.list_key, known, links=links)

    def give_back(self, batch: Batch) -> None:
        """At a stop: give back the messages of a claim whose answer came too late to start them."""
        held = self.leases.held
        tags = [batch.tag(number) for number in range(len(batch.messages))]
        for tag, (list_key, _) in zip(tags, batch.messages, strict=True):
            held[tag] = Lease(batch.fence, list_key)
        self.leases.release(tags)

    def lost_channel(self) -> None:
        """The consumer's connection ended. Celery forgets the messages that it had not started; they are given back."""
        running = {one.id for one in self.running()}
        if self.celery_pool is not None:
            running |= self.celery_pool.forget({str(headers.get("id")) for headers in self.celerys.values()})
        waiting = [tag for tag, headers in self.celerys.items() if str(headers.get("id")) not in running]
        for tag in waiting:
            self.celerys.pop(tag, None)
        if self.pool is None or not self.pool.stopping:
            self.leases.release(waiting)
        self.claims.forget()
        if self.celery_pool is not None and self.celery_pool.stopped:
            self._stopped()

    def overdue(self) -> None:
        """WORKER_STOP_SECONDS are over, and a pool of Celery's own still waits for its tasks. The platform would kill
        this process, and that would look like a death. So what runs goes back, and this process ends."""
        if self.celery_pool is None:
            return
        state: Any = import_module("celery.worker.state")
        state.should_terminate = True  # the processes that end now count as no death
        emit("worker.stop_overdue", running=[one.id for one in self.running()])
        self.celery_pool.kill()
        self._end(1.0)
        os._exit(0)

    def _stopped(self) -> None:
        """Celery's pool has ended, and will not call us again: commit, and give the rest back. (Our pool does this by
        itself.)"""
        self.committer.commit_all(END_SECONDS)
        self.leases.release(list(self.celerys), started=True)  # a cold stop ended them
        self._end(0.0)

    def running(self) -> list[Any]:
        """What runs: bodies in task threads, and Celery's own requests."""
        from celery.worker import state

        threads = self.pool.threads if self.pool is not None else []
        return [*(thread.running for thread in threads if thread.running is not None), *state.active_requests]

    def _impossible(self, commit: Commit, why: str) -> None:
        held = self.leases.held.get(commit.tag)
        self.ends.impossible(commit, why, held.list_key if held else "")

    def restore(self) -> int:
        """Give back the messages of workers that died. Returns how many."""
        return restore(self.client, self.channel.sep, self.channel.priority_steps)

    def _show(self, running: Running) -> None:
        ignored = running.headers.get("ignore_result")
        if not running.task.track_started or (running.task.ignore_result if ignored is None else ignored):
            return
        backend, commit = self.app.backend, running.commit
        if commit is None or not hasattr(backend, "started_meta"):
            return
        key, meta, seconds = backend.started_meta(running.id, self.hostname)
        with STATING:
            if commit.stated:
                return
            self.committer.show(running.tag, running.id, key, meta, seconds)
            commit.stated = True

    def _tell_full(self, list_key: str) -> None:
        now = monotonic()
        queue = queue_of(list_key)
        if now - self._full_logged_at.get(queue, -TELL_FULL_SECONDS) >= TELL_FULL_SECONDS:
            self._full_logged_at[queue] = now
            bound = self.options.dead_letter_bound
            emit(
                "queue.not_claimed", level=logging.ERROR, queue=queue, dead_letters=bound, hint="celeriac dead-letters"
            )


def _refuse_cluster(client: redis.Redis) -> None:
    """Refuse Redis Cluster by its name, at the start: our scripts use several keys, and a cluster refuses that."""
    connection: Any = client.connection_pool.get_connection()
    try:
        said = getattr(connection, "handshake_metadata", None)  # RESP2 says nothing: there, each script is refused
        mode = said.get(b"mode") if said else None
    finally:
        client.connection_pool.release(connection)
    if mode == b"cluster":
        raise ImproperlyConfigured(
            "Redis Cluster: a claim and an outcome need all keys on one server; use a plain Redis"
        )


def address(delivery_info: dict[str, Any], list_key: str) -> None:
    """Write into the message which queue it came from: its retry and its dead letter go there. What its sender wrote
    may be wrong, or name an exchange that is not known here."""
    delivery_info["exchange"], delivery_info["routing_key"] = "", queue_of(list_key)
