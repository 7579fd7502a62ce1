"""Celery's task events, as workers send them while somebody wants them: over Redis and over AMQP, by kombu.

A fanout, so others may listen, too. Over Redis it is publish and subscribe: what nobody reads at that moment is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from celery import Celery
from celery.events import EventReceiver
from kombu import Connection
from kombu.exceptions import KombuError

from devctl.broker.port import EventKind, TaskEvent
from devctl.errors import DevctlError

SUBSCRIBE_SECONDS, LOOK_SECONDS = 5.0, 0.2
_KINDS: Mapping[str, EventKind] = {
    "task-received": "received",
    "task-started": "started",
    "task-retried": "retried",
    "task-succeeded": "succeeded",
    "task-failed": "failed",
    "task-rejected": "failed",
    "task-revoked": "failed",
}


class Stream:
    """What a thread reads from the moment of its making until it is closed."""

    def __init__(self, connection: Connection) -> None:
        self.problem = ""
        self._connection = connection
        self._came: list[TaskEvent] = []
        self._lock, self._ready, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read, name="task-events", daemon=True)

    def open(self) -> None:
        """Begin; returns when nothing that is sent from now on is missed."""
        self._thread.start()
        if not self._ready.wait(SUBSCRIBE_SECONDS) or self.problem:
            raise DevctlError(
                f"task events cannot be read from the broker: {self.problem or 'no answer'}", hint="devctl doctor"
            )

    def close(self) -> None:
        """End; what came is still there."""
        self._over.set()
        self._thread.join(2.0)

    def taken(self) -> list[TaskEvent]:
        """All that came since the last call."""
        with self._lock:
            came, self._came = self._came, []
        return came

    def _read(self) -> None:
        of_the_transport = (*self._connection.connection_errors, *self._connection.channel_errors)
        lost: tuple[type[Exception], ...] = (KombuError, OSError, *cast("tuple[Any, ...]", of_the_transport))
        try:
            with self._connection as connection, Celery("devctl", set_as_current=False) as app:
                receiver: Any = EventReceiver(connection, routing_key="task.#", app=app)  # celery-types: no `queue`
                with connection.Consumer([receiver.queue], callbacks=[self._take], no_ack=True, accept=["json"]):
                    self._ready.set()
                    while not self._over.is_set():
                        try:
                            connection.drain_events(timeout=LOOK_SECONDS)
                        except TimeoutError:
                            continue
        except lost as ended:
            self.problem = str(ended) or type(ended).__name__
        finally:
            self._ready.set()

    def _take(self, body: Any, message: object) -> None:
        came = [one for event in (body if isinstance(body, list) else [body]) if (one := read(event))]
        with self._lock:
            self._came += came


def read(event: Mapping[str, Any]) -> TaskEvent | None:
    """One event; None for what says nothing of how a task goes."""
    kind = _KINDS.get(str(event.get("type")))
    if kind is None:
        return None
    return TaskEvent(kind, str(event.get("uuid")), float(event.get("timestamp", 0.0)), str(event.get("hostname", "")))


@contextmanager
def listening(connection: Connection) -> Iterator[Stream]:
    """A stream for a block."""
    stream = Stream(connection)
    try:
        stream.open()
        yield stream
    finally:
        stream.close()
