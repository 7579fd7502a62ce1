"""The committer of a worker process: it commits the outcomes of finished messages, many with one script."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, sleep
from typing import Any, Protocol

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as Silent

from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.broker.scripts import Script
from celeriac.correlation import named
from celeriac.events import emit, transition
from celeriac.lease.leases import Lease, Leases
from celeriac.life.pack import outcomes
from celeriac.life.scribe import SILENT, Scribe
from celeriac.outcome.commit import Commit, Verdict, packed
from celeriac.retry.policy import refused_for_now

FLUSH_SECONDS = 0.005  # how long a finished task may wait, so that several are committed with one script
MOST_COMMITS, MOST_BYTES = 500, 1_000_000  # in one script: while it runs, Redis serves nobody else
MOST_CALLS = 4  # of the script under way: then whoever has more to send waits for the oldest answer

OUTCOME, STATE = Script("outcome/outcome"), Script("outcome/state")
STARTED, ENDED, SAID = 0, 1, 2  # of state.lua: what is stored


class Counters:
    """How many outcomes were committed, refused and repeated, since this process began."""

    def __init__(self) -> None:
        self.committed = 0
        self.refused = 0  # the lease was not ours any more
        self.repeated = 0  # there was a record: the work was done before


class Tally(Protocol):
    """Counts, for metrics. It is called under the lock, once for each answer."""

    def __call__(self, batch: Sequence[tuple[Commit, Any]], *, alike: bool = False) -> None:
        """These have their verdict. `alike`: all are committed."""


class Committer:
    """All threads of a worker use it. A task thread submits what it has finished; `_done` is a deque, so this needs no
    lock. Everything else is changed by the thread that has the lock of the connection. It is, by turns, the task thread
    that submits when 5 ms are over, the consumer's thread before it waits, and the guard. Callbacks of commits are
    called by one thread at a time, without that lock.

    A commit is in one place at a time, from right to left: what is under way is older than what is sent again, and that
    is older than what is done. So outcomes reach Redis in the order in which they were submitted; only what Redis
    refuses for now is overtaken by calls that are under way already. No outcome overtakes another one of the same
    message: while one is under way its message is not held, and what is not held is not sent. Nor is its lease renewed.
    That is bounded: the guard reads all answers every 0.1 s, and then sends again what had none."""

    def __init__(
        self,
        connection: BrokerConnection,
        leases: Leases,
        bury: Callable[[Commit, str], None],
        scribe: Scribe = SILENT,
    ) -> None:
        """`bury(commit, why)` makes a dead letter of a commit that Redis will never take."""
        self.connection, self.leases, self._bury = connection, leases, bury
        self._scribe = scribe
        self.tally: Tally | None = None
        self._lock = connection.lock
        self.counters = Counters()
        self.refused = ""  # why Redis takes no outcomes now
        self._done: deque[Commit] = deque()
        self._ended: deque[Commit] = deque()  # Redis has answered, and their callbacks are not called yet
        self._why: dict[str, str] = {}  # tag -> why Redis will never take this commit
        self._calling = threading.RLock()
        self._is_calling = False
        self._under_way: deque[list[tuple[Commit, Lease]]] = deque()  # calls whose answers are not read yet
        self._unknown: deque[list[tuple[Commit, Lease]]] = deque()  # sent without an answer: they are sent again
        self._flushed_at = 0.0
        connection.read_unread, connection.lost = self._read_all, self._send_again
        connection.lock.left = self._call_back

    # What tasks do

    def submit(self, commit: Commit) -> None:
        """This message is finished; it is committed within a few milliseconds."""
        commit.seal()
        commit.until = now = monotonic()
        self._done.append(commit)
        if now - self._flushed_at > FLUSH_SECONDS:
            self.flush(wait=False)

    def commit(self, commit: Commit) -> Verdict:
        """Commit this message and wait for the answer, however long Redis is away."""
        commit.seal()
        commit.until = monotonic()
        self._done.append(commit)
        while True:
            with self._lock:
                self.flush()
                self._read_all()
            if commit.verdict is not None:
                return commit.verdict
            sleep(0.02)

    def flush(self, *, wait: bool = True) -> None:
        """Send what is finished. While few calls are under way, nobody waits for the answer: it is read when it has
        arrived, before a command of another kind, or before an idle wait."""
        if not self._done and not self._unknown:
            return
        if not self._lock.acquire(blocking=wait):
            return  # another thread does it
        try:
            while (self._done or self._unknown) and self.connection.reachable:
                self._send()
                self._flushed_at = monotonic()
                if len(self._done) < MOST_COMMITS and not self._unknown:
                    break
        finally:
            self._lock.release()

    def read_answers(self) -> None:
        """Wait for the answers to all that was sent."""
        if self._under_way and self._lock.acquire(blocking=False):
            try:
                self._read_all()
            finally:
                self._lock.release()

    @property
    def everything_committed(self) -> bool:
        """Everything that is finished is committed, and told."""
        return not (self._done or self._under_way or self._unknown or self._ended or self._is_calling)

    @property
    def idle(self) -> bool:
        """The same, and no thread is about to send or to read."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self.everything_committed
        finally:
            self._lock.release()

    def commit_all(self, seconds: float) -> bool:
        """Commit all that is finished. Returns whether Redis answered in time."""
        deadline = monotonic() + seconds
        while True:
            with self._lock:
                self.flush()
                self._read_all()
            if self.everything_committed:
                return True
            if monotonic() > deadline:
                return False
            sleep(0.02)

    def shut_down(self, seconds: float, culprits: Iterable[str] = ()) -> bool:
        """At a stop: commit what is finished, and give the rest back. `culprits`: tags of the messages because of which
        this worker ends. Only their starts count: a worker that is stopped did not die. Returns whether Redis has
        answered for all that was finished."""
        answered = self.commit_all(seconds)
        self.leases.release(culprits, started=True)
        self.leases.release(list(self.leases.held))
        return answered

    def show(
        self, tag: str, task_id: str, result_key: str | bytes, state: bytes, seconds: int, record: bytes = b""
    ) -> None:
        """Store STARTED for a task that runs. Nothing is stored if the message is not ours any more, if the body has
        stored a state itself, or without a key."""
        with self._lock:
            if self.connection.reachable:
                self._state(tag, keys.once(task_id), (result_key, state, seconds), STARTED, record)

    def tell(self, commit: Commit, state: tuple[Any, Any, int], record: bytes = b"") -> bool:
        """Store PROGRESS for a task that runs, if the message is still ours. False: Redis is away."""
        with self._lock:
            if not self.connection.reachable:
                return False
            self._state(commit.tag, commit.record_key or keys.once(commit.task_id), state, SAID, record)
            return True

    def store(self, commit: Commit) -> bool:
        """Store the result of this commit before the commit, because a chord reads it at once. False: the message is
        not ours any more, and this commit has ended."""
        with self._lock:
            result = commit.result_key, commit.result, commit.result_seconds
            if self._state(commit.tag, commit.record_key or keys.once(commit.task_id), result, ENDED):
                return True
            self.leases.held.pop(commit.tag, None)
            self.leases.counted.discard(commit.tag)
            self.counters.refused += 1
            self._lost(commit)
            return False

    def _state(
        self, tag: str, record_key: str | bytes, state: tuple[Any, Any, int], kind: int, record: bytes = b""
    ) -> bool:
        """`state`: the key of the result, the state, its life in s. False: the message is not ours."""
        held = self.leases.held.get(tag)
        if held is None:
            return False
        result_key, value, seconds = state
        arguments = [tag, held.fence, value, seconds, kind, record]
        return bool(self.connection.ask(STATE, [keys.LEASES, result_key, record_key], arguments))

    # Sending and reading, under the lock

    def _send_again(self) -> None:
        """The connection broke. Redis may have committed a part of what was under way, from the oldest on: all of it is
        sent again, and is refused where it was committed."""
        self._unknown.extendleft(reversed(self._under_way))
        self._under_way.clear()

    def _send(self) -> None:
        while self._under_way and (len(self._under_way) >= MOST_CALLS or self.connection.arrived):
            self._read_answer()
        if not self.connection.reachable:
            return
        try:
            self.connection.open()
        except (RedisError, OSError) as exc:  # also -BUSY, while the connection signs in: no fault of the messages
            self._unsent(exc)
            return
        again = bool(self._unknown)
        batch = self._unknown.popleft() if again else self._next_batch()
        if not batch:
            return
        words: list[Any] = [len(batch)]
        for commit, held in batch:
            words += commit.arguments(held.fence)
        who, length = self._scribe
        record = outcomes(who, [commit for commit, _ in batch], again=again) if length else b""
        self._under_way.append(batch)
        try:
            names = (keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE)
            self.connection.send("EVALSHA", OUTCOME.sha, len(names), *names, packed(words), length, record)
        except (Lost, Silent, OSError) as exc:
            self._unsent(exc)
        except (RedisError, ValueError, TypeError) as exc:  # an argument that cannot be sent; nothing was sent
            self._one_by_one(self._under_way.pop(), exc)

    def _unsent(self, error: Exception) -> None:
        self.connection.broke()
        outcomes = len(self._done) + sum(map(len, self._unknown))
        emit("outcomes.unsent", level=logging.WARNING, error=str(error), outcomes=outcomes)

    def _next_batch(self) -> list[tuple[Commit, Lease]]:
        batch: list[tuple[Commit, Lease]] = []
        size = 0
        done, held, counted = self._done, self.leases.held, self.leases.counted
        while done and len(batch) < MOST_COMMITS and size < MOST_BYTES:
            commit = done.popleft()
            one = held.pop(commit.tag, None)
            if counted:
                counted.discard(commit.tag)
            if one is None:
                self.counters.refused += 1  # a renewal found that its lease is lost
                self._lost(commit)
                continue
            size += commit.size
            batch.append((commit, one))
        return batch

    def _read_all(self) -> None:
        while self._under_way:
            self._read_answer()

    def _read_answer(self) -> None:
        """To the oldest call under way."""
        try:
            refused, repeated, left = self.connection.receive("EVALSHA")
        except ResponseError as exc:
            self._not_taken(self._under_way.popleft(), exc)
            return
        except (RedisError, OSError) as exc:  # no answer, or one that is not Redis's protocol
            emit("outcomes.unknown", level=logging.WARNING, error=str(exc), outcomes=sum(map(len, self._under_way)))
            self.connection.broke()
            return
        batch = self._under_way.popleft()
        self.connection.answered()
        self.refused = ""
        self.counters.committed += len(batch) - len(refused) - len(repeated) - len(left) // 2
        self.counters.refused += len(refused)
        self.counters.repeated += len(repeated)
        if not (refused or repeated or left):
            for commit, _ in batch:
                self._end(commit, Verdict.COMMITTED)
            if self.tally is not None:
                self.tally(batch, alike=True)
            return
        answers = {tag.decode(): Verdict.REFUSED for tag in refused}
        answers |= {tag.decode(): Verdict.REPEATED for tag in repeated}
        why = {tag.decode(): text.decode() for tag, text in zip(left[::2], left[1::2], strict=True)}
        for commit, _ in batch:
            if commit.tag not in why:
                self._end(commit, answers.get(commit.tag, Verdict.COMMITTED))
        if self.tally is not None:
            self.tally([pair for pair in batch if pair[0].tag not in why])
        self._give_up([(commit, held, why[commit.tag]) for commit, held in batch if commit.tag in why])

    def _not_taken(self, batch: list[tuple[Commit, Lease]], error: ResponseError) -> None:
        """Redis refused the script as a whole."""
        self._read_all()  # what was sent later: if that fails, too, it is sent again after this batch
        if isinstance(error, NoScriptError):  # SCRIPT FLUSH, or a new server
            self._unknown.appendleft(batch)
            self._load()
        elif refused_for_now(error):  # full, loading, read-only: later
            self.refused = str(error)
            emit("outcomes.refused", level=logging.WARNING, error=str(error), outcomes=len(batch))
            self._unknown.appendleft(batch)
            self.connection.pause()
        else:
            self._one_by_one(batch, error)

    def _one_by_one(self, batch: list[tuple[Commit, Lease]], error: Exception) -> None:
        if len(batch) > 1:  # one of them cannot be committed: to find it, each is sent alone
            self._unknown.extendleft([one] for one in reversed(batch))
        else:
            ((commit, held),) = batch
            self._give_up([(commit, held, str(error))])

    def _load(self) -> None:
        try:
            self.connection.open()
            self.connection.send("SCRIPT", "LOAD", OUTCOME.text)
            self.connection.receive("SCRIPT")
        except ResponseError:
            self.connection.pause()
        except (RedisError, OSError):
            self.connection.broke()

    def _give_up(self, commits: list[tuple[Commit, Lease, str]]) -> None:
        """Redis will never take these commits: their messages become dead letters."""
        for commit, held, why in commits:
            if commit.dead_key:  # Redis does not take the dead letter either: the message comes back after its lease
                emit("outcome.impossible", level=logging.ERROR, task_id=commit.task_id, error=why)
                commit.verdict = Verdict.IMPOSSIBLE
                continue
            self.leases.held[commit.tag] = held
            self._why[commit.tag] = why
            self._end(commit, Verdict.IMPOSSIBLE)

    def _end(self, commit: Commit, verdict: Verdict) -> None:
        commit.verdict = verdict
        if commit.after or verdict is not Verdict.COMMITTED:
            self._ended.append(commit)

    def _lost(self, commit: Commit) -> None:
        self._end(commit, Verdict.REFUSED)
        if self.tally is not None:
            self.tally([(commit, None)])

    def _call_back(self) -> None:
        """Call the callbacks of ended commits, in order, one thread at a time. The lock is free meanwhile: a callback
        may commit something."""
        while self._ended and self._calling.acquire(blocking=False):
            try:
                self._call_all_back()
            finally:
                self._calling.release()

    def _call_all_back(self) -> None:
        was, self._is_calling = self._is_calling, True
        while self._ended:
            commit = self._ended.popleft()
            try:
                self._follow(commit)
            except BaseException as exc:  # SystemExit, too: this may be the guard's thread
                emit("listener.failed", level=logging.ERROR, exc_info=exc, error=str(exc))
        self._is_calling = was

    def _follow(self, commit: Commit) -> None:
        if commit.verdict is Verdict.IMPOSSIBLE:
            self._bury(commit, self._why.pop(commit.tag, ""))
        elif commit.verdict is Verdict.COMMITTED:
            for callback in commit.after:
                callback()
        else:
            transition(f"outcome.{commit.verdict}", level=logging.WARNING, **named(commit.headers, commit.task_id))
