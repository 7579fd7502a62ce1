"""How a worker takes messages. It claims some messages in advance. When there are none, it waits until Redis tells it
of new ones: it does not poll.

The states of the claim connection:

    idle ──► claiming ──► messages: the next claim is sent, then these are handed out ──► idle, or claiming
                └───────► none ──► arming ──► something came meanwhile ──► idle
                                     └──────► waiting: Redis pushes a line (the bell) when a list changes; a timer ends
                                              when the next message is due
"""

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.events import emit
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
    consumer's thread: no other thread calls it. (`room` of an intake reads `asked`, in the same thread.)"""

    def __init__(self, lease_us: int, dead_bound: int, later: Callable[[float, Callable[[], None]], Any]) -> None:
        """`later(seconds, callback)` gives a timer with `cancel()`."""
        self._lease_us, self._dead_bound, self._later = lease_us, dead_bound, later
        self._lists: list[str] = []
        self._timer: Any = None
        self._tracked: Any = None  # the socket on which Redis was told to ring
        self._rings = True
        self._refused_logged_at = -TELL_REFUSED_SECONDS
        self._now = (0.0, 0.0)  # Redis's clock at the last claim, in us, and ours then
        self._full: list[str] = []
        self._arm_next = False
        self.state = "idle"
        self.asked = 0  # messages that the claim under way may bring
        self.sent_at = 0.0

    def start(self, connection: Any, lists: Sequence[str], dead: Sequence[str], want: int) -> None:
        """Send a claim; or, if the last claim took all that was there, ask Redis to ring."""
        self.sent_at = monotonic()
        if self._arm_next:
            self._arm_next = False
            self._arm(connection, lists)
            return
        self._lists = list(lists)
        self.asked = want
        self.state = "claiming"
        names = (keys.UNACKED, keys.LEASES, keys.DUE, keys.STARTS, *lists, *dead)
        connection.send_command(
            "EVALSHA", CLAIM.sha, len(names), *names, len(lists), want, self._lease_us, self._dead_bound
        )

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
        if self.state == "arming":
            self._armed(client, connection)
            return None
        asked, self.state, self.asked = self.asked, "idle", 0
        try:
            fence, _, taken, before, full, odd, buried, more = client.parse_response(connection, "EVALSHA")
        except NoScriptError:
            self._load(client, connection)
            return None
        except ResponseError as exc:  # Redis takes no writes now; the messages stay in their lists
            self._refused(exc)
            return None
        lists = self._lists
        self._now = (float(fence) - self._lease_us, monotonic())
        self._full = [lists[number] for number in full]
        self._arm_next = len(taken) < 2 * asked and not more  # it took all that was there: next, ask Redis to ring
        if not taken and not full and not buried:
            return None
        return Batch(
            fence.decode(),
            [(lists[taken[i]], taken[i + 1]) for i in range(0, len(taken), 2)],
            {before[i].decode(): before[i + 1] for i in range(0, len(before), 2)},
            self._full,
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
        if monotonic() - self._refused_logged_at > TELL_REFUSED_SECONDS:
            emit("claim.refused", level=logging.WARNING, error=str(error))
            self._refused_logged_at = monotonic()
        self._wait(LONGEST_WAIT_SECONDS, [])

    def wake(self) -> None:
        """End the wait: claim again now."""
        if self.state == "waiting":
            if self._timer is not None:
                self._timer.cancel()
            self.state = "idle"

    def forget(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self.state, self.asked, self._arm_next, self._tracked = "idle", 0, False, None

    def _arm(self, connection: Any, lists: Sequence[str]) -> None:
        """Read the lists with client tracking on: from then on Redis pushes one line when any of them changes."""
        watched = [one for one in lists if one not in self._full]
        if not watched:  # all lists are those of queues with too many dead letters
            self._wait(LONGEST_WAIT_SECONDS, [])
            return
        self.state = "arming"
        if self._rings and self._tracked is not connection._sock:  # noqa: SLF001  a new socket, a new session
            connection.send_command("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP")
            try:
                connection.read_response()
                self._tracked = connection._sock  # noqa: SLF001  the same
            except ResponseError as exc:
                if refused_for_now(exc):
                    self._refused(exc)
                    return
                self._rings = False
        reads: list[tuple[Any, ...]] = [("EXISTS", *watched), ("ZRANGE", keys.DUE, 0, 0, "WITHSCORES")]
        if self._rings:  # each of the two is tracked from now on
            caching = ("CLIENT", "CACHING", "YES")
            reads = [caching, reads[0], caching, reads[1]]
        connection.send_packed_command(connection.pack_commands(reads))

    def _armed(self, client: Any, connection: Any) -> None:
        answers: list[Any] = []
        rung, refused = False, None
        while len(answers) < (4 if self._rings else 2):
            try:
                answer = connection.read_response(push_request=True)
            except ResponseError as exc:  # the answers to the others follow
                answer, refused = exc, exc
            if answer is None or (isinstance(answer, list) and answer[:1] == [b"invalidate"]):
                rung = True  # a bell between two of the answers; redis-py may return None for it
            else:
                answers.append(answer)
        if refused is not None:
            self._refused(refused)
            return
        there, soonest = (answers[1], answers[3]) if self._rings else answers
        self.state = "idle"
        if there or rung or connection.can_read(timeout=0):
            return
        self._wait(LONGEST_WAIT_SECONDS if self._rings else POLL_SECONDS, soonest)

    def _wait(self, seconds: float, soonest: list[Any]) -> None:
        if soonest:
            due = soonest[0][1] if isinstance(soonest[0], list) else soonest[1]  # RESP3 pairs them
            now_us, then = self._now
            seconds = min(seconds, max(0.0, (float(due) - now_us) / 1e6 - (monotonic() - then)) + 0.001)
        self.state = "waiting"
        self._timer = self._later(seconds, self.wake)
