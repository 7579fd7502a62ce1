"""The committer of a worker process: it commits outcomes, renews leases and gives claimed messages back.

It has a connection of its own, which stays when the consumer's connection is lost."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any, NamedTuple

import redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as Silent

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.correlation import named
from celeriac.events import emit, transition
from celeriac.outcome.commit import Commit, Verdict
from celeriac.outcome.soft_limit import HERE, Window
from celeriac.retry.policy import refused_for_now

FLUSH_SECONDS = 0.005  # how long a finished task may wait, so that several are committed with one script
MOST_COMMITS, MOST_BYTES = 500, 1_000_000  # in one script: while it runs, Redis serves nobody else
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0  # between attempts to reach a Redis that is away

OUTCOME, STATE = Script("outcome/outcome"), Script("outcome/state")
RENEW, START, RELEASE = Script("lease/renew"), Script("lease/start"), Script("lease/release")


class Lease(NamedTuple):
    """A claimed message: the deadline of its lease, which proves that it is ours, and the list that it came from."""

    fence: Any
    list_key: str


class Counters:
    """How many outcomes were committed, refused, repeated, and how many leases lost, since this process began."""

    def __init__(self) -> None:
        self.committed = 0
        self.refused = 0  # the lease was not ours any more
        self.repeated = 0  # there was a record: the work was done before
        self.lost = 0  # leases that could not be renewed


class _Lock:
    """A reentrant lock. A soft time limit does not interrupt the thread that has it: the work of the committer must not
    stop half way. `left` is called when the lock is free again, for calls that may take long or may need the lock."""

    def __init__(self, left: Callable[[], None]) -> None:
        self._lock, self._depth, self._left = threading.RLock(), 0, left
        self._window: Window | None = None  # of the thread that has the lock, while soft limits must wait

    def acquire(self, *, blocking: bool = True) -> bool:
        window = HERE.window
        held_off = window is not None and window.hold_off()
        if not self._lock.acquire(blocking=blocking):
            if window is not None and held_off:
                window.let_on()
            return False
        self._depth += 1
        if held_off:
            self._window = window
        return True

    def release(self) -> None:
        self._depth -= 1
        outermost, window = self._depth == 0, self._window
        if outermost:
            self._window = None
        self._lock.release()
        if outermost:
            try:
                self._left()
            finally:
                if window is not None:
                    window.let_on()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Committer:
    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        *,
        lease_seconds: float,
        bury: Callable[[Commit, str], None],
    ) -> None:
        """`connect` gives a client of the broker's database; `bury(commit, why)` makes a dead letter of a commit that
        Redis will never take."""
        self._connect = connect
        self._bury = bury
        self.lease_us = int(lease_seconds * 1e6)
        self.held: dict[str, Lease] = {}
        self.counters = Counters()
        self._counted: set[str] = set()  # tags that are held and whose start was counted
        self._done: deque[Commit] = deque()
        self._ended: deque[Commit] = deque()  # Redis has answered, and their callbacks are not called yet
        self._why: dict[str, str] = {}  # tag -> why Redis will never take this commit
        self._calling = threading.RLock()
        self._is_calling = False
        self._lock = _Lock(self._call_back)
        self._client: redis.Redis | None = None
        self._connection: Any = None
        self._sent: list[tuple[Commit, Lease]] = []  # sent, and the answer is not read yet
        self._unknown: deque[list[tuple[Commit, Lease]]] = deque()  # sent without an answer: they are sent again
        self._flushed_at = 0.0
        self._failures = 0
        self._away_until = 0.0

    # What tasks do

    def submit(self, commit: Commit) -> None:
        """This message is finished; it is committed within a few milliseconds."""
        commit.seal()
        self._done.append(commit)
        if monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush(wait=False)

    def commit(self, commit: Commit) -> Verdict:
        """Commit this message and wait for the answer, however long Redis is away."""
        commit.seal()
        self._done.append(commit)
        while True:
            with self._lock:
                self.flush()
                self._read_answer()
            if commit.verdict is not None:
                return commit.verdict
            sleep(0.02)

    def flush(self, *, wait: bool = True) -> None:
        """Send what is finished. The answer is read before the next command, at the latest before an idle wait."""
        if not self._done and not self._unknown:
            return
        if not self._lock.acquire(blocking=wait):
            return  # another thread does it
        try:
            while (self._done or self._unknown) and self._reachable():
                self._send()
                self._flushed_at = monotonic()
                if len(self._done) < MOST_COMMITS and not self._unknown:
                    break
        finally:
            self._lock.release()

    def read_answer(self) -> None:
        """Read the answer to what was sent last."""
        if self._sent and self._lock.acquire(blocking=False):
            try:
                self._read_answer()
            finally:
                self._lock.release()

    @property
    def everything_committed(self) -> bool:
        """Everything that is finished is committed, and told."""
        return not (self._done or self._sent or self._unknown or self._ended or self._is_calling)

    def commit_all(self, seconds: float) -> bool:
        """Commit all that is finished. Returns whether Redis answered in time."""
        deadline = monotonic() + seconds
        while True:
            with self._lock:
                self.flush()
                self._read_answer()
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
        self.release(culprits, started=True)
        self.release(list(self.held))
        return answered

    def started(self, tag: str, record_key: str | bytes = "", *, by: int = 1) -> tuple[int, bytes | None]:
        """Count a start of a message that came back (see `Start.by`). Returns the stored number of starts (-1: the
        message is not ours any more) and the record."""
        with self._lock:  # a renewal between here and there would change the fence
            held = self.held.get(tag)
            if held is None:
                return -1, None
            answer = self._ask(START, [keys.STARTS, keys.LEASES, record_key], [tag, held.fence, by])
            if answer[0] >= 0:
                self._counted.add(tag)
            return answer[0], answer[1] or None

    def release(self, tags: Iterable[str], *, started: bool = False) -> int:
        """Give claimed messages back; they are claimed next. Returns how many were still ours. `started`: their worker
        ends because of them, so their next start counts. Otherwise a start that was counted is taken back."""
        with self._lock:  # a renewal between here and there would change the fences
            arguments: list[Any] = []
            for tag in tags:
                held = self.held.pop(tag, None)
                if held is not None:
                    how = 1 if started else 2 if tag in self._counted else 0
                    arguments += (tag, held.fence, held.list_key, how)
                self._counted.discard(tag)
            size = 4 * MOST_COMMITS
            return sum(self._release(arguments[at : at + size]) for at in range(0, len(arguments), size))

    def _release(self, arguments: list[Any]) -> int:
        names = [keys.UNACKED, keys.LEASES, keys.STARTS]
        try:
            try:
                return int(self._ask(RELEASE, names, arguments))
            except Lost:  # the connection had died. What the first call has done, the second one cannot do again
                return int(self._ask(RELEASE, names, arguments))
        except (RedisError, OSError) as exc:
            emit("claims.not_released", level=logging.WARNING, error=str(exc), claims=len(arguments) // 4)
            return 0  # they come back when their lease is over

    def renew(self) -> bool:
        """Renew the leases of all claimed messages, and forget those that are not ours any more. False: Redis is
        away."""
        with self._lock:
            if not self._reachable():
                return False
            self._read_answer()
            held = list(self.held.items())
            for start in range(0, len(held), MOST_COMMITS):
                part = held[start : start + MOST_COMMITS]
                arguments: list[Any] = [self.lease_us]
                for tag, one in part:
                    arguments += (tag, one.fence)
                fence, lost = self._ask(RENEW, [keys.LEASES], arguments)
                gone = {tag.decode() for tag in lost}
                for tag, one in part:
                    if tag in gone:
                        self.held.pop(tag, None)
                    elif tag in self.held:
                        self.held[tag] = Lease(fence, one.list_key)
                self.counters.lost += len(gone)
            self._counted.intersection_update(self.held)
        return True

    def show(self, tag: str, task_id: str, result_key: str | bytes, state: bytes, seconds: int) -> None:
        """Store STARTED for a task that runs. Nothing is stored if the message is not ours any more, or if the body has
        stored a state itself."""
        with self._lock:
            if self._reachable():
                self._state(tag, keys.once(task_id), (result_key, state, seconds), end=0)

    def store(self, commit: Commit) -> bool:
        """Store the result of this commit before the commit, because a chord reads it at once. False: the message is
        not ours any more, and this commit has ended."""
        with self._lock:
            result = commit.result_key, commit.result, commit.result_seconds
            if self._state(commit.tag, commit.record_key or keys.once(commit.task_id), result, end=1):
                return True
            self.held.pop(commit.tag, None)
            self._counted.discard(commit.tag)
            self.counters.refused += 1
            self._end(commit, Verdict.REFUSED)
            return False

    def _state(self, tag: str, record_key: str | bytes, state: tuple[Any, Any, int], *, end: int) -> bool:
        """`state`: the key of the result, the state, its life in s. False: the message is not ours."""
        held = self.held.get(tag)
        if held is None:
            return False
        result_key, value, seconds = state
        return bool(self._ask(STATE, [keys.LEASES, result_key, record_key], [tag, held.fence, value, seconds, end]))

    def reset(self) -> None:
        """After a fork: the connection and the claimed messages belong to the parent."""
        self.__init__(self._connect, lease_seconds=self.lease_us / 1e6, bury=self._bury)  # type: ignore[misc]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.disconnect()
                self._connection = None

    # One connection, under the lock

    def _ask(self, script: Script, names: list[Any], arguments: list[Any]) -> Any:
        with self._lock:
            self._read_answer()
            try:
                connection = self._connected()
                try:
                    return self._call(connection, "EVALSHA", script.sha, len(names), *names, *arguments)
                except NoScriptError:
                    return self._call(connection, "EVAL", script.text, len(names), *names, *arguments)
            except (Lost, Silent, OSError):
                self._gone()
                raise

    def _call(self, connection: Any, *words: Any) -> Any:
        assert self._client is not None
        connection.send_command(*words)
        client: Any = self._client
        return client.parse_response(connection, words[0])

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._connect()
        if self._connection is None:
            self._connection = self._client.connection_pool.get_connection()
        return self._connection

    def _reachable(self) -> bool:
        return monotonic() >= self._away_until

    def _gone(self) -> None:
        """The connection broke. Redis may have committed what was sent: it is sent again, and is refused if so."""
        if self._connection is not None:
            self._connection.disconnect()
            if self._client is not None:
                self._client.connection_pool.release(self._connection)
            self._connection = None
        if self._sent:
            self._unknown.append(self._sent)
            self._sent = []
        self._pause()

    def _pause(self) -> None:
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._away_until = monotonic() + pause

    def _send(self) -> None:
        self._read_answer()
        if not self._reachable():
            return
        batch = self._unknown.popleft() if self._unknown else self._next_batch()
        if not batch:
            return
        self._sent = batch
        arguments: list[Any] = [len(batch)]
        for commit, held in batch:
            arguments += commit.arguments(held.fence)
        try:
            connection = self._connected()
        except (RedisError, OSError) as exc:  # also -BUSY, while the connection signs in: no fault of the messages
            self._gone()
            emit("outcomes.unsent", level=logging.WARNING, error=str(exc), outcomes=len(batch))
            return
        try:
            names = (keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE)
            connection.send_command("EVALSHA", OUTCOME.sha, len(names), *names, *arguments)
        except (Lost, Silent, OSError) as exc:
            self._gone()
            emit("outcomes.unsent", level=logging.WARNING, error=str(exc), outcomes=len(batch))
        except (RedisError, ValueError, TypeError) as exc:  # an argument that cannot be sent; nothing was sent
            self._sent = []
            self._one_by_one(batch, exc)

    def _next_batch(self) -> list[tuple[Commit, Lease]]:
        batch: list[tuple[Commit, Lease]] = []
        size = 0
        done, held = self._done, self.held
        while done and len(batch) < MOST_COMMITS and size < MOST_BYTES:
            commit = done.popleft()
            one = held.pop(commit.tag, None)
            if self._counted:
                self._counted.discard(commit.tag)
            if one is None:
                self.counters.refused += 1  # a renewal found that its lease is lost
                self._end(commit, Verdict.REFUSED)
                continue
            size += commit.size
            batch.append((commit, one))
        return batch

    def _read_answer(self) -> None:
        if not self._sent:
            return
        batch = self._sent
        assert self._client is not None
        try:
            client: Any = self._client
            refused, repeated, left = client.parse_response(self._connection, "EVALSHA")
        except ResponseError as exc:
            self._sent = []
            self._not_taken(batch, exc)
            return
        except (RedisError, OSError) as exc:  # no answer, or one that is not Redis's protocol
            self._gone()
            emit("outcomes.unknown", level=logging.WARNING, error=str(exc), outcomes=len(batch))
            return
        self._sent = []
        self._failures = 0
        self.counters.committed += len(batch) - len(refused) - len(repeated) - len(left) // 2
        self.counters.refused += len(refused)
        self.counters.repeated += len(repeated)
        if not (refused or repeated or left):
            for commit, _ in batch:
                self._end(commit, Verdict.COMMITTED)
            return
        answers = {tag.decode(): Verdict.REFUSED for tag in refused}
        answers |= {tag.decode(): Verdict.REPEATED for tag in repeated}
        why = {tag.decode(): text.decode() for tag, text in zip(left[::2], left[1::2], strict=True)}
        for commit, _ in batch:
            if commit.tag not in why:
                self._end(commit, answers.get(commit.tag, Verdict.COMMITTED))
        self._give_up([(commit, held, why[commit.tag]) for commit, held in batch if commit.tag in why])

    def _not_taken(self, batch: list[tuple[Commit, Lease]], error: ResponseError) -> None:
        """Redis refused the script as a whole."""
        if isinstance(error, NoScriptError):  # SCRIPT FLUSH, or a new server
            self._unknown.appendleft(batch)
            self._load()
        elif refused_for_now(error):  # full, loading, read-only: later
            emit("outcomes.refused", level=logging.WARNING, error=str(error), outcomes=len(batch))
            self._unknown.appendleft(batch)
            self._pause()
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
            self._call(self._connected(), "SCRIPT", "LOAD", OUTCOME.text)
        except ResponseError:
            self._pause()
        except (RedisError, OSError):
            self._gone()

    def _give_up(self, commits: list[tuple[Commit, Lease, str]]) -> None:
        """Redis will never take these commits: their messages become dead letters."""
        for commit, held, why in commits:
            if commit.dead_key:  # Redis does not take the dead letter either: the message comes back after its lease
                emit("outcome.impossible", level=logging.ERROR, task_id=commit.task_id, error=why)
                commit.verdict = Verdict.IMPOSSIBLE
                continue
            self.held[commit.tag] = held
            self._why[commit.tag] = why
            self._end(commit, Verdict.IMPOSSIBLE)

    def _end(self, commit: Commit, verdict: Verdict) -> None:
        commit.verdict = verdict
        if commit.after or verdict is not Verdict.COMMITTED:
            self._ended.append(commit)

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
