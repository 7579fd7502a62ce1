"""The leases of a worker: which claimed messages are its own, and until when."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import RedisError

from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.broker.scripts import Script
from celeriac.events import emit
from celeriac.life.pack import Start, packed
from celeriac.life.scribe import SILENT, Scribe

STOPS = "its worker stops"
AT_ONCE = 500  # messages in one call of a script: Redis serves nobody else meanwhile

RENEW, START, RELEASE = Script("lease/renew"), Script("lease/start"), Script("lease/release")


class Lease(NamedTuple):
    """A claimed message: the deadline of its lease, which proves that it is ours, and the list that it came from."""

    fence: str
    list_key: str


class Leases:
    """The messages that this worker holds.

    All threads of a worker use it. `held` is a dictionary, which single steps do not spoil: the consumer's thread puts
    in what it has claimed, the committer takes out what is finished, anybody looks. Whoever looks at a lease and then
    sends it to Redis has the lock of the connection meanwhile: a renewal changes the leases."""

    def __init__(self, connection: BrokerConnection, lease_seconds: float, scribe: Scribe = SILENT) -> None:
        self._connection, self._lock, self.scribe = connection, connection.lock, scribe
        self.lease_us = int(lease_seconds * 1e6)
        self.held: dict[str, Lease] = {}  # by delivery tag
        self.lost = 0  # leases that could not be renewed, since this process began
        self.counted: set[str] = set()  # tags that are held and whose start was counted

    def started(
        self, tag: str, record_key: str | bytes = "", *, by: int = 1, told: bool = True
    ) -> tuple[int, bytes | None]:
        """Count a start of a message that came back (see `Start.by`); `told`: write that down. Returns the stored
        number of starts (-1: the message is not ours any more) and the record."""
        with self._lock:  # a renewal between here and there would change the fence
            held = self.held.get(tag)
            if held is None:
                return -1, None
            record = packed(Start(self.scribe.who, tag)) if told and self.scribe.length else b""
            answer = self._connection.ask(START, [keys.STARTS, keys.LEASES, record_key], [tag, held.fence, by, record])
            if answer[0] >= 0:
                self.counted.add(tag)
            return answer[0], answer[1] or None

    def release(self, tags: Iterable[str], *, started: bool = False, why: str = STOPS) -> int:
        """Give claimed messages back; they are claimed next. Returns how many were still ours. `started`: their worker
        ends because of them, so their next start counts. Otherwise a start that was counted is taken back. `why`: for
        the record."""
        with self._lock:  # a renewal between here and there would change the fences
            arguments: list[Any] = []
            for tag in tags:
                held = self.held.pop(tag, None)
                if held is not None:
                    how = 1 if started else 2 if tag in self.counted else 0
                    arguments += (tag, held.fence, held.list_key, how)
                self.counted.discard(tag)
            size = 4 * AT_ONCE
            return sum(self._release(arguments[at : at + size], why) for at in range(0, len(arguments), size))

    def _release(self, messages: list[Any], why: str) -> int:
        names = [keys.UNACKED, keys.LEASES, keys.STARTS]
        arguments = [int(self.scribe.length > 0), self.scribe.who, why, *messages]
        try:
            try:
                back = int(self._connection.ask(RELEASE, names, arguments))
            except Lost:  # the connection had died. What the first call has done, the second one cannot do again
                back = int(self._connection.ask(RELEASE, names, arguments))
        except (RedisError, OSError) as exc:
            emit("claims.not_released", level=logging.WARNING, error=str(exc), claims=len(messages) // 4)
            return 0  # they come back when their lease is over
        emit("messages.returned", level=logging.DEBUG, messages=back, why=why)
        return back

    def renew(self) -> bool:
        """Renew the leases of all claimed messages, and forget those that are not ours any more. False: Redis is
        away."""
        with self._lock:
            if not self._connection.reachable:
                return False
            self._connection.read_unread()
            held = list(self.held.items())
            for start in range(0, len(held), AT_ONCE):
                part = held[start : start + AT_ONCE]
                arguments: list[Any] = [self.lease_us]
                for tag, one in part:
                    arguments += (tag, one.fence)
                fence, lost = self._connection.ask(RENEW, [keys.LEASES], arguments)
                gone = {tag.decode() for tag in lost}
                for tag, one in part:
                    if tag in gone:
                        self.held.pop(tag, None)
                    elif tag in self.held:
                        self.held[tag] = Lease(fence.decode(), one.list_key)
                self.lost += len(gone)
                if gone:
                    emit("leases.lost", level=logging.WARNING, messages=len(gone))
            self.counted.intersection_update(self.held)
        return True
