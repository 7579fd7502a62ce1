"""Runs of contracts may be watched from outside the engine, by a benchmark for instance. Without an observer, which is
the usual case, none is."""

from collections.abc import Mapping
from typing import Any, Protocol


class Watch(Protocol):
    """One run that is watched. It has no lines in the log and leaves no dead letter."""

    @property
    def headers(self) -> Mapping[str, Any]:
        """That its follow-ups carry, so that they are watched, too."""

    def queue(self, queue: str) -> str:
        """Where its follow-ups go, in place of their queue."""

    def done(self, task_id: str, started: float, finished: float, worker: str) -> None:
        """Its body has succeeded. Unix seconds; `worker` is the node name. Must neither raise nor wait: other tasks run
        in this process."""


class Observer(Protocol):
    """Chooses what is watched."""

    def watch(self, request: Any) -> Watch | None:
        """Asked once before each run, with Celery's request; None: it is not watched."""


def observe(app: Any, observer: Observer) -> None:
    """Show this observer all runs of the app."""
    app.observer = observer


def watch_of(app: Any, request: Any) -> Watch | None:
    """The watch of this run, if somebody watches it."""
    observer: Observer | None = getattr(app, "observer", None)
    return None if observer is None else observer.watch(request)
