"""The state STARTED of a body that runs for long, where results are in another Redis than messages."""

import logging
import threading
from contextlib import suppress
from queue import Full, Queue
from typing import Any

from celery import states
from redis.exceptions import WatchError

from celeriac.events import emit
from celeriac.outcome.commit import Commit

MOST_WAITING = 1_000  # while that Redis does not answer; of more, nothing is stored


class StartsElsewhere:
    """One for each worker. That Redis may be away, and nobody waits for it: a thread of its own stores what the guard
    tells. It is made when it is needed first."""

    def __init__(self, app: Any, hostname: str) -> None:
        self._app, self._hostname = app, hostname
        self._told: Queue[Commit] = Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def tell(self, commit: Commit) -> None:
        """Its body runs for long. Called by the guard alone."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="celeriac-starts-elsewhere", daemon=True)
            self._thread.start()
        with suppress(Full):
            self._told.put_nowait(commit)

    def _work(self) -> None:
        while True:
            commit = self._told.get()
            try:
                self._store(commit)
            except WatchError:  # something newer is stored
                pass
            except Exception as exc:  # it is away; or what lies there cannot be read
                emit("state.not_stored", level=logging.WARNING, task_id=commit.task_id, error=str(exc))

    def _store(self, commit: Commit) -> None:
        backend = self._app.backend
        key, value, seconds = backend.started_meta(commit.task_id, self._hostname)
        with backend.client.pipeline() as pipe:
            pipe.watch(key)
            if commit.stated:  # a state of its own, or its end, which may be stored already
                return
            found = pipe.get(key)
            if found and backend.decode(found).get("status") == states.SUCCESS:  # as Celery: it stays
                return
            pipe.multi()
            pipe.set(key, value, ex=seconds or None)
            pipe.publish(key, value)
            pipe.execute()
