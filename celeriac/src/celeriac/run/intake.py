"""The intake of a worker: it reads claimed messages, and hands each to the runner of its task, or to Celery."""

import logging
import os
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import redis
from celery.exceptions import ImproperlyConfigured
from celery.worker import state as celerys

from celeriac.broker.connection import BrokerConnection
from celeriac.broker.lists import queue_of
from celeriac.broker.options import Options
from celeriac.claim.claims import BATCH, Batch, Claims
from celeriac.claim.pauses import paused
from celeriac.claim.revocations import Revocations
from celeriac.events import emit
from celeriac.lease.leases import Lease, Leases
from celeriac.lease.restore import restore
from celeriac.lease.starts import Starts
from celeriac.life.pack import Progress, Start, packed
from celeriac.life.scribe import Scribe
from celeriac.life.trim import trim
from celeriac.message.reading import loads
from celeriac.message.schema import check, legible
from celeriac.message.usual import usual
from celeriac.outcome.commit import STATING, Commit, Said
from celeriac.outcome.committer import OUTCOME, Committer
from celeriac.outcome.elsewhere import StartsElsewhere
from celeriac.outcome.progress import state_of, words
from celeriac.run.celery_pool import CeleryPool
from celeriac.run.delivery import Delivery
from celeriac.run.ends import Ends, links_of
from celeriac.run.guard import Guard
from celeriac.run.pool import TaskPool
from celeriac.run.refusals import Refusals
from celeriac.run.threads import Job, Running, TaskThread

AHEAD_SECONDS = 0.02  # of work that a worker claims in advance; other workers cannot start it meanwhile
TELL_FULL_SECONDS = 60.0
YIELD_SECONDS = 1e-5  # asked for; the system makes some 60 µs of it
TURN_SECONDS = 2.0  # the consumer's loop turns so often at least: that shows that it does
END_SECONDS = 5.0  # for the last acknowledgements, once Celery's pool has stopped

state: Any = celerys  # celery-types knows half of it

RunJob = Callable[[Job, TaskThread], bool]
new = tuple.__new__  # a third of the time of calling Job


class Intake:
    """One for each app of a worker. It puts the parts of the worker together. It stays when the consumer reconnects;
    `channel` is the newest channel.

    The consumer's thread calls its methods. Four are called elsewhere: `restore`, `_show` and `_tell` by the guard,
    `overdue` by a timer. `claims` and `runners` belong to the consumer's thread; `leases`, `committer`, `starts`,
    `ends`, `delivery` and `pool` say themselves who may do what."""

    def __init__(self, app: Any, channel: Any, pool: Any, hostname: str, options: Options) -> None:
        self.app, self.hostname, self.options = app, hostname, options
        self.channel = channel
        self.runners: dict[str, RunJob | None] = {}
        client = redis.Redis(connection_pool=channel._get_pool())  # noqa: SLF001  a pool of our own, not the channel's
        self.client = client
        _refuse_cluster(client)
        connection = BrokerConnection(lambda: client, OUTCOME)
        self.scribe = Scribe(hostname, options.life_length)
        self.leases = Leases(connection, options.lease_seconds, self.scribe)
        self.committer = Committer(connection, self.leases, self._impossible, self.scribe)
        tally = self.committer.tally = getattr(app, "tally", None)  # where somebody asks for metrics
        self.starts = Starts(self.leases, self.committer.commit_all, options.max_starts)
        self.ends = Ends(app, hostname, self.committer.submit, self.starts.end)
        if tally is not None:
            self.ends.died = tally.died
        self.starts_elsewhere = StartsElsewhere(app, hostname)
        self.refusals = Refusals()
        self.pool = pool if isinstance(pool, TaskPool) else None
        self.celery_pool = None if self.pool is not None else CeleryPool(pool)
        self.delivery = Delivery(
            app,
            client,
            self.committer,
            self.leases,
            self.starts,
            self.ends,
            self.refusals,
            in_celerys_pool=self.celery_pool is not None,
        )
        self._full_logged_at: dict[str, float] = {}
        self.full: dict[str, float] = {}  # queue -> when a claim last left it alone, for its dead letters
        self.paused: list[str] = []  # of its queues
        self.turned_at = monotonic()  # the consumer's loop
        self._turning: Any = None  # the channel of the timer that turns it
        self.claims = self._claims()
        self.revocations = Revocations(client)
        self._guard()

    def _claims(self) -> Claims:
        def later(seconds: float, callback: Callable[[], None]) -> Any:
            return self.hub.call_later(seconds, callback)

        return Claims(self.leases.lease_us, self.options.dead_letter_bound, later, self.scribe)

    def _guard(self) -> None:
        pool = self.pool or TaskPool(0)  # a pool of Celery's own: no task threads, but leases to renew
        delivery = self.delivery
        pool.flush, pool.commit_all, pool.end = self.committer.flush, self.committer.commit_all, self._end
        pool.decline, pool.release, pool.open = delivery.add, delivery.release, delivery.open
        pool.come_back, pool.fail = delivery.come_back, delivery.fail
        pool.start_of, pool.count_start = self.starts.next, delivery.count_start
        guard = Guard(
            pool,
            self.committer,
            self.leases,
            restore=self.restore,
            show=self._show,
            tell=self._tell,
            revocations=self.revocations.look,
            restore_seconds=min(5.0, max(0.5, self.options.lease_seconds / 12)),
        )
        self.guard = guard
        guard.start()

    def _end(self, seconds: float) -> None:
        """At a stop: commit what is finished, and give the rest back."""
        self.committer.shut_down(seconds)
        self.guard.stop()

    def attach(self, channel: Any, consumer: Any) -> None:
        """A new connection of the consumer, and its event loop."""
        self.hub = consumer.hub
        self.refusals.consumer, self.refusals.channel, self.delivery.channel = consumer, channel, channel
        if channel is not self.channel:
            self.channel = channel
            self.claims = self._claims()
            self.revocations.current = False
        if channel is not self._turning:  # Celery clears all timers when it connects again
            self._turning = channel
            self.hub.call_repeatedly(TURN_SECONDS, int)
        channel.feed(self)
        if not self.revocations.current:
            try:
                self.revocations.start()
            except redis.RedisError as exc:  # the guard tries again; nothing is claimed before
                emit("revocations.not_read", level=logging.WARNING, error=str(exc))
                self.guard.wake()

    # Room

    def hungry(self) -> bool:
        """Whether the claim connection is to be read or written."""
        if self.channel._in_poll:  # noqa: SLF001  kombu's: an answer is under way, or the bell
            return True
        return self.room() > 0

    def room(self) -> int:
        """How many messages to claim now: 20 ms of work, or for longer tasks one for each idle thread. If none, a task
        thread rings when it has ended its work. So whoever has asked must claim, if there is room."""
        if self.pool is None:
            return self._free()
        self.pool.hungry = True  # first, since a thread may end its work while we look
        free = self._free()
        self.pool.hungry = free <= 0
        return free

    def _free(self) -> int:
        if not self.revocations.current:
            return 0
        prefetch = self.channel.qos.prefetch_count
        coming = self.claims.asked + self.claims.brought
        held = len(self.leases.held) + coming
        pool = self.pool
        if pool is None:
            assert self.celery_pool is not None
            if _told_to_stop():
                return 0  # what a stop gives back, this worker would claim again
            return int(prefetch or self.celery_pool.processes) - held
        if pool.stopping:
            return 0
        seconds = pool.seconds
        wanted = int(pool.limit * AHEAD_SECONDS / seconds) if seconds < AHEAD_SECONDS else pool.idle
        # What waits on Celery's own way (a rate limit) is held, too.
        room = min(BATCH, wanted - pool.unstarted - len(self.delivery.delivered) - coming)
        return min(room, prefetch - held) if prefetch else room

    # Messages

    def receive(self, batch: Batch) -> None:
        """Hand out what a claim brought."""
        held, runners, jobs = self.leases.held, self.runners, []
        if batch.starts:
            self.starts.learn(batch.starts)
        last, ours, odd = "", Lease(batch.fence, ""), batch.tags
        for number, (list_key, raw) in enumerate(batch.messages):
            if list_key != last:  # one for all that came from the same list
                last, ours = list_key, Lease(batch.fence, list_key)
            tag = batch.tag(number) if odd else raw[-39:-3].decode()
            held[tag] = ours
            message, runner = None, None
            try:
                message = usual(raw)
                if message is None:
                    message = loads(raw)
                    check(message)
                runner = runners.get(message["headers"].get("task"))
            except Exception as exc:  # to read it may raise anything; the other messages of the batch go on
                known, why = legible(message), f"{type(exc).__name__}: {exc}"
                self.ends.dead(Commit(tag), "undecodable", why, list_key, known, links=links_of(message))
                self.refusals.send(message, "undecodable", exc)
                continue
            jobs.append(new(Job, (runner, message, raw, tag, list_key)))
        for list_key in batch.full:
            self._tell_full(list_key)
        for letter in batch.letters:
            self.ends.dead_at_claim(*letter)
        self.guard.wake()  # before they run: solo runs them here
        if self.pool is not None:
            self.pool.take(jobs)
            if jobs and self.claims.state == "waiting":
                sleep(YIELD_SECONDS)  # a task thread runs now: this one would keep the GIL until it waits for the bell
        else:
            self.delivery.waiting.extend(jobs)
            self.pump()

    def pump(self) -> None:
        """Do in the consumer's thread what has to be done there, at each turn of its loop: apply revocations, hand
        messages to Celery."""
        self.turned_at = monotonic()
        if self.revocations.pending:
            self.revocations.apply()
        if self.guard.asleep and self.revocations.told:
            self.guard.wake()
        self.delivery.pump()

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
            running |= self.celery_pool.forget({str(headers.get("id")) for headers in self.delivery.delivered.values()})
        waiting = [tag for tag, headers in self.delivery.delivered.items() if str(headers.get("id")) not in running]
        for tag in waiting:
            self.delivery.delivered.pop(tag, None)
        if self.pool is None or not self.pool.stopping:
            self.leases.release(waiting, why="its worker lost its connection")
        self.claims.forget()
        if self.celery_pool is not None and self.celery_pool.stopped:
            self._stopped()

    def overdue(self) -> None:
        """WORKER_STOP_SECONDS are over, and a pool of Celery's own still waits for its tasks. The platform would kill
        this process, and that would look like a death. So what runs goes back, and this process ends."""
        if self.celery_pool is None:
            return
        state.should_terminate = True  # the processes that end now count as no death
        emit("worker.stop_overdue", running=[one.id for one in self.running()])
        self.celery_pool.kill()
        self._end(1.0)
        os._exit(0)

    def _stopped(self) -> None:
        """Celery's pool has ended, and will not call us again: commit, and give the rest back. (Our pool does this by
        itself.)"""
        self.committer.commit_all(END_SECONDS)
        self.leases.release(list(self.delivery.delivered), started=True)  # a cold stop ended them
        self._end(0.0)

    @property
    def runs_tasks_in_its_loop(self) -> bool:
        return self.celery_pool is not None and self.celery_pool.solo

    def running(self) -> list[Any]:
        """What runs: bodies in task threads, and Celery's own requests."""
        threads = self.pool.threads if self.pool is not None else []
        return [*(thread.running for thread in threads if thread.running is not None), *state.active_requests]

    def _impossible(self, commit: Commit, why: str) -> None:
        held = self.leases.held.get(commit.tag)
        self.ends.impossible(commit, why, held.list_key if held else "")

    def restore(self) -> int:
        """Give back the messages of workers that died. Returns how many. Also: see which of our queues are paused, and
        forget old records."""
        self.paused = [queue for queue in paused(self.client) if queue in self.channel.active_queues]
        back = restore(self.client, self.channel.sep, self.channel.priority_steps)
        try:
            trim(self.client, self.options)
        except redis.ResponseError as exc:  # access rules (ACL), say: records are no reason to stop
            emit("records.not_trimmed", level=logging.DEBUG, error=str(exc))
        return back

    def _show(self, running: Running) -> None:
        """A body runs for long: write that down; store STARTED, where Celery would store it. (A backend that is no
        Redis got it before the body began.)"""
        commit = running.commit
        if commit is None:
            return
        ignored = running.headers.get("ignore_result")
        stores = running.task.track_started and not (running.task.ignore_result if ignored is None else ignored)
        shared = getattr(self.app.backend, "shared", False)
        if stores and not shared and hasattr(self.app.backend, "started_meta"):
            self.starts_elsewhere.tell(commit)
        if not (stores and shared):
            if self.scribe.length:
                self.committer.show(running.tag, running.id, "", b"", 0, self._started(running))
            return
        key, meta, seconds = self.app.backend.started_meta(running.id, self.hostname)
        with STATING:
            if commit.stated:
                key = ""
            self.committer.show(running.tag, running.id, key, meta, seconds, self._started(running))
            commit.stated = True

    def _tell(self, running: Running, said: Said) -> bool:
        commit = running.commit
        assert commit is not None
        ignored = running.headers.get("ignore_result")
        state = state_of(self.app.backend, running.task, ignored, running.id, said)
        with STATING:
            if commit.said is None:  # the body has stored a state of its own
                return True
            commit.stated = commit.stated or bool(state[0])
            record = b""
            if self.scribe.length:
                record = packed(Progress(self.hostname, running.tag, running.id, running.task.name, *words(said)))
            return self.committer.tell(commit, state, record)

    def _started(self, running: Running) -> bytes:
        if not self.scribe.length:
            return b""
        age_us, attempt = int((monotonic() - running.since) * 1e6), running.headers.get("retries") or 0
        return packed(Start(self.hostname, running.tag, running.id, running.task.name, age_us, 0, attempt))

    def _tell_full(self, list_key: str) -> None:
        now = monotonic()
        queue = queue_of(list_key)
        self.full[queue] = now
        if now - self._full_logged_at.get(queue, -TELL_FULL_SECONDS) >= TELL_FULL_SECONDS:
            self._full_logged_at[queue] = now
            bound = self.options.dead_letter_bound
            emit(
                "queue.not_claimed", level=logging.ERROR, queue=queue, dead_letters=bound, hint="celeriac dead-letters"
            )


def _told_to_stop() -> bool:
    """Whether Celery was told to stop; it keeps the exit code, which may be 0."""
    return any(code is not None and code is not False for code in (state.should_stop, state.should_terminate))


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
