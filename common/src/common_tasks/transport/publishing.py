"""Publish once: a message whose task id was published before is not published again, so that repeating is harmless."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError

from common_tasks.errors import Conflict, NotPublished, PublishError
from common_tasks.redaction import redact
from common_tasks.transport.outgoing import Outgoing, Published, chunks
from common_tasks.transport.scripts import Script
from common_tasks.transport.settling import FAILURES, Call, Calls, Patience

if TYPE_CHECKING:
    pass

SCRIPT = Script("publish")
MEASURED_FOR_SECONDS = 60.0  # Redis's clock: what two clocks drift apart in that time is nothing
Tell = Callable[[list[Outgoing], Published], None]


def untold(chunk: list[Outgoing], published: Published) -> None:
    """Nobody wants to hear of it."""


class Publisher:
    """Over redis-py; safe in every thread. The client must not repeat on its own: we would take a repeat for another's
    message."""

    def __init__(self, client: redis.Redis, bound: int, patience: Patience | None = None) -> None:
        self._client = client
        self._calls = Calls(bound, patience or Patience())
        self._clock: tuple[float, float] | None = None  # when it was asked, and what it is ahead of our monotonic one

    def publish(self, message: Outgoing) -> bool:
        """Returns once it is in its queue; False: it was published before. PublishError or Conflict if it is not."""
        return bool(self._landed(_Flight(self._client, self._calls([message]))).accepted)

    def publish_all(self, messages: Iterable[Outgoing], tell: Tell = untold) -> Published:
        """In chunks; the next one is made while Redis works on the last. The first chunk that is not wholly in its
        queue ends it: `published` of the error tells what became of every message."""
        became = Published()
        waiting = chunks(messages)
        chunk = next(waiting, None)
        while chunk is not None:
            flight = _Flight(self._client, self._calls(chunk))
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
        """Redis's clock, asked once a minute: a due time is by it, whatever the clock of this machine says."""
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
        call, answers = flight.call, flight.land()
        if answers is not None:
            return call.answered(answers)
        while True:
            try:
                return call.answered(SCRIPT(self._client, call.keys, call.arguments))
            except FAILURES as exc:
                pause = call.failed(exc)
            time.sleep(pause)


class _Flight:
    """A call that is sent now and answered later: in between, this thread is free. (A second thread would wait for
    the interpreter's lock as long as the first one computes.)"""

    def __init__(self, client: redis.Redis, call: Call) -> None:
        self.call = call
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        self._problem: Exception | None = None
        try:
            self._connection = self._pool.get_connection()
            self._connection.send_command("EVALSHA", SCRIPT.sha, len(call.keys), *call.keys, *call.arguments)
        except FAILURES as exc:
            self._problem = exc

    def land(self) -> Sequence[int] | None:
        """The answers; None: none came, or Redis does not know the script (any more)."""
        try:
            if self._problem is None:
                answers: Sequence[int] = self._connection.read_response()
                return answers
        except NoScriptError:
            return None
        except FAILURES as exc:
            self._problem = exc
        finally:
            self._leave(whole=self._problem is None or isinstance(self._problem, redis.ResponseError))
        time.sleep(self.call.failed(self._problem))
        return None

    def crash(self) -> None:
        """Nobody will hear the answers."""
        self._leave(whole=False)

    def _leave(self, *, whole: bool) -> None:
        if self._connection is not None:
            if not whole:
                self._connection.disconnect()  # what may yet come on it belongs to nobody
            self._pool.release(self._connection)


class AsyncPublisher:
    """Over redis.asyncio, for event loops. `attempt_seconds` is for the whole of an attempt, connecting included."""

    def __init__(
        self, client: redis.asyncio.Redis, bound: int, patience: Patience, attempt_seconds: float | None = None
    ) -> None:
        self._client = client
        self._calls = Calls(bound, patience)
        self._attempt_seconds = attempt_seconds

    async def publish(self, message: Outgoing) -> bool:
        """As Publisher's."""
        call = self._calls([message])
        while True:
            try:
                async with asyncio.timeout(self._attempt_seconds):
                    answers = await SCRIPT.acall(self._client, call.keys, call.arguments)
                return bool(call.answered(answers).accepted)
            except FAILURES as exc:
                pause = call.failed(exc)
            await asyncio.sleep(pause)
