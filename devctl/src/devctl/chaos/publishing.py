"""Tasks published through the broker: with the contract, or as any stock Celery client would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from devctl.chaos.scenario import Load

TASK, QUEUE = "tasks.chaos", "chaos"
QUEUES = (QUEUE, "chaos-children")
"""Of the load and of its follow-ups."""
SOURCE = "devctl"
PATIENCE_SECONDS = 2.0
"""Of one attempt; the load tries again, with the same id."""
QUEUE_BOUND = 1_000_000


@dataclass(frozen=True)
class Task:
    """One message of the load."""

    task_id: str
    kind: str = "work"
    milliseconds: float = 0.0
    notify: bool = True
    countdown: float = 0.0


class Publisher(Protocol):
    """Puts tasks into the broker. What it raises, whatever it is, means "not confirmed"."""

    def publish(self, task: Task) -> None:
        """Return when the broker has it."""

    def publish_all(self, tasks: Sequence[Task]) -> None:
        """The same for many."""


def task(load: Load, number: int, task_id: str) -> Task:
    """The nth task of a load."""
    kind = "work"
    if load.flaky and number % load.flaky == load.flaky - 1:
        kind = "flaky"
    if load.bad and number % load.bad_every == load.bad_every // 2:
        nth = number // load.bad_every
        kind = load.bad if not load.bad_most or nth < load.bad_most else kind
    return Task(task_id, kind, load.milliseconds, number % load.notify == 0, load.countdown)


def document(run: str, task: Task, *, touch: bool = False) -> dict[str, Any]:
    """The payload, as JSON."""
    return {
        "task_id": task.task_id,
        "timestamp": datetime.now(UTC).isoformat(),
        "source_service": SOURCE,
        "run": run,
        "kind": task.kind,
        "milliseconds": task.milliseconds,
        "notify": task.notify,
        "touch": touch,
    }


class Contracted:
    """Through the contract, as services of this stack do."""

    def __init__(self, url: str, run: str, *, touch: bool = False) -> None:
        from celeriac.app.client import make_app
        from celeriac.app.settings import CelerySettings
        from celeriac.workbench.chaos import ChaosPayload, chaos

        settings = CelerySettings(broker_url=url, result_backend=None, queue_bound=QUEUE_BOUND)
        self._contract = chaos.bind(make_app(SOURCE, settings, patience_seconds=PATIENCE_SECONDS))
        self._payload, self._run, self._touch = ChaosPayload, run, touch

    def publish(self, task: Task) -> None:
        """Publish once: a repeat with the same id is harmless."""
        payload = self._payload.model_validate(document(self._run, task, touch=self._touch))
        options = {"countdown": task.countdown} if task.countdown else {}
        self._contract.apply_async(payload, **options)

    def publish_all(self, tasks: Sequence[Task]) -> None:
        """In few round trips."""
        made = [self._payload.model_validate(document(self._run, one, touch=self._touch)) for one in tasks]
        self._contract.publish_many(made)


class StockClient:
    """As a client with Celery's defaults does."""

    def __init__(self, url: str, run: str, *, touch: bool = False) -> None:
        from celery import Celery

        self._app = Celery(SOURCE, set_as_current=False)
        # The read and write URLs win over CELERY_BROKER_URL, which may be somebody's own broker.
        self._app.conf.update(broker_url=url, broker_read_url=url, broker_write_url=url)
        self._run, self._touch = run, touch

    def publish(self, task: Task) -> None:
        """Celery retries three times by itself, and may publish twice then."""
        body, countdown = document(self._run, task, touch=self._touch), task.countdown or None
        self._app.send_task(TASK, args=[body], task_id=task.task_id, queue=QUEUE, countdown=countdown)

    def publish_all(self, tasks: Sequence[Task]) -> None:
        """One after the other, over one connection."""
        with self._app.producer_pool.acquire(block=True) as producer:
            for one in tasks:
                body = document(self._run, one, touch=self._touch)
                self._app.send_task(TASK, args=[body], task_id=one.task_id, queue=QUEUE, producer=producer)
