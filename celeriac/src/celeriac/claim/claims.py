"""How a worker takes messages. It claims some messages in advance. When there are none, it waits until Redis tells it
of new ones: it does not poll.

The states of the claim connection:

    idle ──► claiming ──► there is more: the next claim is sent, then this batch is handed out ──► idle, or claiming
                └───────► nothing is left ──► waiting: Redis pushes a line (the bell) when a list changes; a timer ends
                                              when the next message is due

The bell is Redis's client tracking: it tells a connection when something changes that it has read. The claim reads the
lists once more at its end. So no message comes between the claim and the wait.
"""

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError, ResponseError

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.events import emit
from celeriac.life.scribe import SILENT, Scribe
from celeriac.retry.classification import refused_for_now

BATCH = 100  # messages in one claim: the script blocks Redis for half a millisecond
LONGEST_WAIT_SECONDS = 1.0  # then the worker claims in any case: a bell may be lost, a connection half open
TELL_REFUSED_SECONDS = 30.0
POLL_SECONDS = 0.02  # if the server refuses RESP3, and so cannot ring

CLAIM = Script("claim/claim")


class Batch(NamedTuple):
    """The answer to one claim."""

    fence: str
    messages: list[tuple[str, bytes]]  # list, message
    starts: dict[str, int]  # tag -> starts, of messages that were given back after a worker died
    full: list[str]  # lists that are not claimed from: too many dead letters
    tags: dict[int, str]  # number of a message -> its tag, if it is not in its usual place
    letters: Sequence[tuple[str, str, str, bytes]] = ()  # list, reason, problem, message (b"": nobody is to be told)

    def tag(self, number: int) -> str:
        """The delivery tag of a message; also of a message that nobody can read."""
        if not self.tags:
            return self.messages[number][1][-39:-3].decode()
        return self.tags.get(number) or self.messages[number][1][-39:-3].decode(errors="replace")


class Claims:
    """The claim connection of one channel: sends claims, reads answers, and knows what it waits for. It belongs to the
    consumer's thread: no other thread calls it. (`room` of an intake reads `asked`
    and `brought`, in the same thread.)"""

    def __init__(
        self,
        lease_us: int,
        dead_bound: int,
        later: Callable[[float, Callable[[], None]], Any],
        scribe: Scribe = SILENT,
    ) -> None:
        """`later(seconds, callback)` gives a timer with `cancel()`."""
        self._lease_us, self._dead_bound, self._later, self._scribe = lease_us, dead_bound, later, scribe
        self._lists: list[str] = []
        self._timer: Any = None
        self._timer_at = self._until = 0.0  # when the timer ends, and when the wait does
        self._tracked: Any = None  # the socket on which Redis was told to ring
        self._rings = True
        self._refused_logged_at = -TELL_REFUSED_SECONDS
        self.state = "idle"
        self.asked = 0  # messages that the claim under way may bring
        self.brought = 0  # messages that the last claim has brought, until they are handed out
        self.sent_at = 0.0
        self.refused = ""  # why Redis takes no claims now

    def start(self, connection: Any, lists: Sequence[str], dead: Sequence[str], want: int) -> None:
        """Send a claim."""
        self.sent_at = monotonic()
        if self._rings and self._tracked is not connection._sock:  # noqa: SLF001  a new socket, a new session
            self._track(connection)
            if self.state == "waiting":
                return
        self._lists = list(lists)
        self.asked = want
        self.state = "claiming"
        names = (keys.UNACKED, keys.LEASES, keys.DUE, keys.STARTS, *lists, *dead)
        who, length = self._scribe
        words = [len(lists), self._lease_us, self._dead_bound, length, who, want]
        connection.send_packed_command([CLAIM.command(names, words)])

    def read(self, client: Any, connection: Any) -> Batch | None:
        """Read what has arrived on the connection. Returns messages, or None."""
        if self.state == "waiting":
            connection.read_response(push_request=True)  # the bell
            self.wake()
            return None
        if self.state == "idle":  # an old bell, for which nobody waits any more
            while connection.can_read(timeout=0):
                connection.read_response(push_request=True)
            return None
        self.state, self.asked = "idle", 0
        try:
            fence, due_ms, taken, before, full, odd, buried, more = client.parse_response(connection, "EVALSHA")
        except NoScriptError:
            self._load(client, connection)
            return None
        except ResponseError as exc:  # Redis takes no writes now; the messages stay in their lists
            self._refused(exc)
            return None
        self.refused = ""
        lists = self._lists
        messages = [(lists[number], raw) for number, raws in zip(taken[::2], taken[1::2], strict=True) for raw in raws]
        if not more and not self._has_rung(connection):
            self._wait(LONGEST_WAIT_SECONDS if self._rings else POLL_SECONDS, due_ms)
        if not messages and not full and not buried:
            return None
        return Batch(
            fence.decode(),
            messages,
            {before[i].decode(): before[i + 1] for i in range(0, len(before), 2)},
            [lists[number] for number in full],
            {odd[i]: odd[i + 1].decode(errors="replace") for i in range(0, len(odd), 2)},
            [
                (lists[number], reason.decode(), problem.decode(), raw)
                for number, reason, problem, raw in zip(*(buried[i::4] for i in range(4)), strict=True)
            ],
        )

    def _load(self, client: Any, connection: Any) -> None:
        connection.send_command("SCRIPT", "LOAD", CLAIM.text)
        try:
            client.parse_response(connection, "SCRIPT")
        except ResponseError as exc:
            self._refused(exc)

    def _refused(self, error: ResponseError) -> None:
        self.refused = str(error)
        if monotonic() - self._refused_logged_at > TELL_REFUSED_SECONDS:
            emit("claim.refused", level=logging.WARNING, error=str(error))
            self._refused_logged_at = monotonic()
        self._wait(LONGEST_WAIT_SECONDS)

    def wake(self) -> None:
        """End the wait: claim again now."""
        if self.state == "waiting":
            self.state = "idle"

    def forget(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.state, self.asked, self._tracked = "idle", 0, None

    def _track(self, connection: Any) -> None:
        connection.send_command("CLIENT", "TRACKING", "ON", "NOLOOP")
        try:
            connection.read_response()
            self._tracked = connection._sock  # noqa: SLF001  there is no public way
        except ResponseError as exc:
            if refused_for_now(exc):
                self._refused(exc)
            else:
                self._rings = False

    def _has_rung(self, connection: Any) -> bool:
        """Whether the bell has arrived together with the answer: nobody would see it in redis-py's buffer."""
        try:
            return bool(connection.can_read(timeout=0))
        except (RedisError, OSError):  # the next claim meets it; first, this batch is handed out
            return True

    def _wait(self, seconds: float, due_ms: int = -1) -> None:
        """Wait for the bell, for `seconds` at most, and until a message is due."""
        if due_ms >= 0:
            seconds = min(seconds, due_ms / 1000 + 0.001)
        self.state = "waiting"
        self._until = self.sent_at + seconds
        if self._timer is None or self._until < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        """There is one timer. It may end before the wait does: to set it anew for every wait costs more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._until
        self._timer = self._later(max(0.0, self._until - monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self.state == "waiting":
            if monotonic() < self._until:
                self._set_timer()
            else:
                self.wake()
