"""Publish once: a message whose task id was published before is not published again, so that repeating is harmless."""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import redis
import redis.asyncio

from common_tasks.errors import Conflict, NotPublished, PublishError
from common_tasks.redaction import redact
from common_tasks.transport.outgoing import Outgoing, Published, chunks
from common_tasks.transport.scripts import Script
from common_tasks.transport.settling import FAILURES, Calls, Patience

SCRIPT = Script("publish")
MEASURED_FOR_SECONDS = 60.0  # Redis's clock: what two clocks drift apart in that time is nothing


class Publisher:
    """Over redis-py; safe in every thread. The client must not repeat on its own: we would take a repeat for another's
    message."""

    def __init__(self, client: redis.Redis, bound: int, patience: Patience | None = None) -> None:
        self._client = client
        self._calls = Calls(bound, patience or Patience())
        self._clock: tuple[float, float] | None = None  # when it was asked, and what it is ahead of our monotonic one

    def publish(self, message: Outgoing) -> bool:
        """Returns once it is in its queue; False: it was published before. PublishError or Conflict if it is not."""
        return bool(self._send([message]).accepted)

    def publish_all(self, messages: Iterable[Outgoing]) -> Published:
        """In chunks; the next one is made while Redis works on the last. The first chunk that is not wholly in its
        queue ends it: `published` of the error tells what became of every message."""
        became = Published()
        waiting = chunks(messages)
        chunk = next(waiting, None)
        if chunk is None:
            return became
        with ThreadPoolExecutor(1, thread_name_prefix="publish") as courier:
            while chunk is not None:
                sent = courier.submit(self._send, chunk)
                following = next(waiting, None)
                try:
                    became += sent.result()
                except (PublishError, Conflict) as exc:
                    unsent = [one.task_id for chunk in (following or [], *waiting) for one in chunk]
                    exc.published = became + (exc.published or Published()) + Published(refused=tuple(unsent))
                    raise
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

    def _send(self, chunk: list[Outgoing]) -> Published:
        call = self._calls(chunk)
        while True:
            try:
                return call.answered(SCRIPT(self._client, call.keys, call.arguments))
            except FAILURES as exc:
                pause = call.failed(exc)
            time.sleep(pause)


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
