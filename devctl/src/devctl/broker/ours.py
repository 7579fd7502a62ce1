"""The adapter for workers with celeriac: a Redis that stock Celery producers, workers and result readers share with
them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import cast

from celeriac.broker import keys
from celeriac.broker.options import Options
from celeriac.claim import pauses
from celeriac.dead_letter import letters as dead_letters
from celeriac.dead_letter import replay as replaying
from celeriac.errors import Conflict, PublishError, QueueFull
from celeriac.life.scribe import Scribe
from celeriac.life.stream import Life
from celeriac.publish.attempts import Patience
from celeriac.publish.publisher import Publisher
from celeriac.published import Published
from devctl.broker import delayed, leases, server
from devctl.broker.layout import Layout
from devctl.broker.life import StoredLife
from devctl.broker.plain import App, shortfall
from devctl.broker.port import Acceptance, Execution, Holder, Message, Note
from devctl.broker.results import batches, stored_ids
from devctl.broker.stock import StockBroker
from devctl.errors import DevctlError

TWICE = Patience(attempts=2)  # an answer that got lost is asked for once more


class CeleriacBroker(StockBroker):
    """One Redis database, and the Celery workers behind it, some of them with celeriac."""

    celeriac = True
    stamp = True
    _connect = staticmethod(server.connect)

    def __init__(
        self,
        url: str,
        *,
        results_url: str = "",
        service: str = "",
        dead_bound: int = dead_letters.BOUND,
        queue_bound: int = Options.queue_bound,
        life_length: int = Options.life_length,
    ) -> None:
        """Opens no connection. `service` is the broker's name in the stack, for hints; at `dead_bound` dead letters its
        workers stop claiming from a queue, at `queue_bound` messages nothing more is published once to it, and
        `life_length` entries are kept of the records of steps."""
        super().__init__(url, App(results_url or url, service=service))
        self._dead_bound = dead_bound
        self._client = self._connect(url)
        self._publisher = Publisher(self._client, queue_bound, TWICE, Scribe("devctl", life_length))

    @cached_property
    def _layout(self) -> Layout:
        return Layout()

    @cached_property
    def life(self) -> StoredLife:
        """The records of steps."""
        return StoredLife(Life(self._client), self._answering)

    def publish_once(self, messages: Sequence[Message]) -> Acceptance:
        """Publish what was not published before; DevctlError names a queue that is full, and other work under an id."""
        from devctl.broker import frames  # a third of a second, for those who publish

        with self._answering():
            self._client.ping()  # what is wrong with the way to it has a name of its own
        started = time.perf_counter()
        try:
            published = self._publisher.publish_all(map(frames.once, messages))
        except (PublishError, Conflict) as exc:
            raise self._unpublished(exc, len(messages)) from exc
        seconds = time.perf_counter() - started
        return Acceptance(seconds, frozenset(published.duplicates), frozenset(published.missing))

    def _unpublished(self, error: PublishError | Conflict, total: int) -> DevctlError:
        became = error.published or Published()
        details = list(shortfall(len(became.accepted) + len(became.duplicates), len(became.unknown), total))
        if isinstance(error, QueueFull):
            hint = "devctl queues shows who consumes it; CELERY_QUEUE_BOUND is how many may wait"
            return DevctlError(f"not published: {error}", hint=hint, details=details)
        if isinstance(error, Conflict):
            hint = "an id stands for one task: leave task_id out, and a new one is made"
            return DevctlError(f"not published: {error}", hint=hint, details=details)
        try:
            with self._answering():
                raise error.__cause__ or error
        except DevctlError as problem:
            return DevctlError(problem.problem, hint=problem.hint, details=details)

    def pause(self, queue: str) -> None:
        """Have no worker claim from it: a set in Redis that every claim reads."""
        with self._answering():
            pauses.pause(self._client, queue)

    def resume(self, queue: str, nodes: Sequence[str] | None = None) -> None:
        """Have it claimed from again."""
        with self._answering():
            pauses.resume(self._client, queue)

    def paused(self) -> frozenset[str]:
        """As the set in Redis says."""
        with self._answering():
            return frozenset(pauses.paused(self._client))

    def task_ids(self, start: str) -> list[str]:
        """The ids of tasks with a result or a note that begin so."""
        with self._answering():
            noted = list(stored_ids(self._client, keys.ONCE, start))
        return sorted({*noted, *super().task_ids(start)})

    @property
    def returned(self) -> str:
        """Others with celeriac return them, or `give_back`."""
        return ""

    def holder(self, task_id: str) -> Holder | None:
        """A note tells how far it is."""
        return None

    def note(self, task_id: str) -> Note:
        """What publish once has written of this task."""
        with self._answering():
            stored = cast("bytes | None", self._client.get(keys.once(task_id)))
        if not stored:
            return ""
        return "done" if stored.startswith(b"done") else "queued"

    def letters(
        self,
        *,
        queue: str = "",
        older_than: float | None = None,
        newer_than: float | None = None,
        newest_first: bool = False,
    ) -> Iterator[dead_letters.Letter]:
        """Dead letters, by time, without their messages; ages in seconds."""
        with self._answering():
            yield from dead_letters.read(
                self._client, queue=queue, older_than=older_than, newer_than=newer_than, newest_first=newest_first
            )

    def letter(self, letter_id: str) -> dead_letters.Letter | None:
        """One dead letter with its message."""
        with self._answering():
            return dead_letters.find(self._client, letter_id)

    def replay(self, letter: dead_letters.Letter) -> bool:
        """Put it back into its queue, once."""
        with self._answering():
            return replaying.replay(self._client, letter)

    def drop(self, letter_ids: Sequence[str]) -> int:
        """Remove dead letters for ever."""
        with self._answering():
            return dead_letters.drop(self._client, letter_ids)

    def expired(self) -> int:
        """Count the claims of workers that died, where nobody else returns them."""
        with self._answering():
            return leases.expired(self._client)

    def give_back(self) -> int:
        """Return claims whose worker died where nobody else does."""
        with self._answering():
            return leases.give_back(self._client)

    def executed(self, run: str) -> int:
        """How many executions a bench run's ledger holds; one cheap call."""
        with self._answering():
            return self._client.llen(_ledger(run))

    def ledger(self, run: str) -> list[Execution]:
        """A bench run's ledger, in order of arrival."""
        entries: list[Execution] = []
        with self._answering():
            while page := cast("list[bytes]", self._client.lrange(_ledger(run), len(entries), len(entries) + 9_999)):
                entries += (Execution(*json.loads(entry)) for entry in page)
        return entries

    def forget(self, run: str, queues: Sequence[str], task_ids: Sequence[str]) -> None:
        """Remove a bench run's queues, ledger, results and records, and nothing else."""
        with self._answering():
            self._client.unlink(_ledger(run), *map(keys.dead, queues))
            delayed.drop(self._client, queues)
            for ids in batches(task_ids, 1_000):
                self._client.unlink(*map(keys.once, ids))
        super().forget(run, queues, task_ids)


def _ledger(run: str) -> str:
    return f"devctl:bench:{run}:ledger"
