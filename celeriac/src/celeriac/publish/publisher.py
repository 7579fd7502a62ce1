"""Publish once: a message whose task id was published before is not published again. So to repeat a call is
harmless."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError

from celeriac.broker.scripts import Script
from celeriac.errors import Conflict, NotPublished, PublishError
from celeriac.life.scribe import SILENT, Scribe
from celeriac.publish.attempts import FAILURES, Call, Calls, Patience
from celeriac.publish.connections import Connections
from celeriac.publish.outgoing import Outgoing, chunks
from celeriac.published import Published
from celeriac.redaction import redact

SCRIPT = Script("publish/publish")
MEASURED_FOR_SECONDS = 60.0  # Redis's clock is asked again after this; two clocks hardly drift apart in a minute
Tell = Callable[[list[Outgoing], Published], None]


def unheard(chunk: list[Outgoing], published: Published) -> None:
    """Nobody wants to hear of it."""


class Publisher:
    """Over redis-py; safe in every thread."""

    def __init__(
        self, client: redis.Redis, bound: int, patience: Patience | None = None, scribe: Scribe = SILENT
    ) -> None:
        self._client = client
        self._connections = Connections(client.connection_pool)
        self._calls = Calls(bound, patience or Patience(), scribe)
        self._clock: tuple[float, float] | None = None  # monotonic time of the question; offset of Redis

    def publish(self, message: Outgoing) -> bool:
        """True: the message is in its queue by this call. False: it was published before. Raises PublishError or
        Conflict if it is not published, or not certainly."""
        return bool(self.place(message).accepted)

    def place(self, message: Outgoing) -> Published:
        """The same, and what is known where it was published before."""
        return self._landed(_Flight(self._connections, self._calls([message])))

    def publish_all(self, messages: Iterable[Outgoing], tell: Tell = unheard) -> Published:
        """Publish in chunks; the next chunk is made while Redis works on the last one. It ends with the first chunk of
        which a message is not accepted: `published` of the error says what became of every message."""
        became = Published()
        waiting = chunks(messages)
        chunk = next(waiting, None)
        while chunk is not None:
            flight = _Flight(self._connections, self._calls(chunk))
            try:
                following = next(waiting, None)
            except BaseException:
                flight.crash()
                raise
            try:
                now = self._landed(flight)
            except (PublishError, Conflict) as exc:
                now = exc.published or Published()
                tell(chunk, now)
                unsent = [one.task_id for chunk in (following or [], *waiting) for one in chunk]
                exc.published = became + now + Published(refused=tuple(unsent))
                raise
            tell(chunk, now)
            became += now
            chunk = following
        return became

    def now_us(self) -> int:
        """Redis's clock, asked once a minute. Due times follow it: the clock of this machine may be wrong."""
        if self._clock is None or time.monotonic() - self._clock[0] > MEASURED_FOR_SECONDS:
            before = time.monotonic()
            try:
                seconds, microseconds = self._client.time()
            except FAILURES as exc:
                raise NotPublished(f"the broker does not tell its time: {redact(str(exc))}") from exc
            after = time.monotonic()
            self._clock = after, seconds + microseconds / 1_000_000 - (before + after) / 2
        return int((time.monotonic() + self._clock[1]) * 1_000_000)

    def _landed(self, flight: "_Flight") -> Published:
        call = flight.call
        while (answers := flight.land()) is None:
            flight = _Flight(self._connections, call)
        return call.answered(answers)


class _Flight:
    """One attempt of a call: sent now, answered later. In between, this thread makes the next chunk. (A second thread
    would not help: only one thread at a time runs Python.)"""

    def __init__(self, connections: Connections, call: Call) -> None:
        self.call = call
        self._connections = connections
        self._connection: Any = None
        self._sent = False  # or begun to
        self._problem: Exception | None = None
        try:
            self._connection = self._connections.take()
            self._sent = True
            self._connection.send_packed_command([SCRIPT.command(call.keys, call.arguments, last=2)])
            call.usual()
        except FAILURES as exc:
            self._problem = exc

    def land(self) -> Sequence[int] | None:
        """The answers. None: the attempt failed; the pause is over, and the caller tries again."""
        whole = False
        try:
            if self._problem is None:
                answers = self._answers()
                whole = True
                return answers
        except FAILURES as exc:
            self._problem, whole = exc, isinstance(exc, redis.ResponseError)
        finally:
            self._leave(whole=whole)
        time.sleep(self.call.failed(self._problem, sent=self._sent))
        return None

    def crash(self) -> None:
        """Nobody will hear the answers."""
        self._leave(whole=False)

    def _answers(self) -> Sequence[int]:
        answers: Sequence[int]
        try:
            answers = self._connection.read_response()
        except NoScriptError:
            call = self.call
            self._connection.send_command("EVAL", SCRIPT.text, len(call.keys), *call.keys, *call.arguments)
            answers = self._connection.read_response()
        return answers

    def _leave(self, *, whole: bool) -> None:
        if self._connection is not None:
            self._connections.give_back(self._connection, whole=whole)
