"""The task of `devctl chaos soak`: millions of them, counted in memory that stays small.

A task has a number, which is the second half of its id. So a run of a body is one byte in the ledger, and an effect is
one short entry that devctl reads and then removes."""

import os
from typing import Any
from uuid import UUID

import redis
from pydantic import Field
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from celeriac.contract.contract import Contract
from celeriac.contract.implementation import Implementation, implements
from celeriac.contract.outcome import Outcome
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.workbench.chaos import LEDGER_URL, RUN

RECORD_SECONDS = 15
"""Longer than the messages of a dead worker of a chaos stack take to be back. Millions of records are not kept."""
HALF = 64


class SoakPayload(TaskPayload):
    run: str = Field(pattern=RUN)


class SoakResult(TaskResult):
    pass


soak = Contract(
    name="tasks.soak",
    queue="chaos",
    payload=SoakPayload,
    result=SoakResult,
    ignore_result=True,
    record_seconds=RECORD_SECONDS,
)


def task_id(first_half: int, number: int) -> UUID:
    """The id of a task; `first_half` (64 bits) is the same for all tasks of a run."""
    return UUID(int=first_half << HALF | number)


def number_of(task_id: UUID) -> int:
    """The number of a task, from its id."""
    return task_id.int & (1 << HALF) - 1


def effects_key(run: str) -> str:
    """A stream in the broker's Redis: each entry, `n`, is an effect of the task with this number."""
    return f"chaos:{run}:done"


def bodies_key(run: str) -> str:
    """A string in the ledger's Redis: byte n is how often the body of task n began, 255 at most."""
    return f"chaos:{run}:bodies"


class Bodies:
    """Counts in the ledger, at once, that a body begins."""

    def __init__(self, url: str) -> None:
        patience = {"socket_timeout": 10.0, "socket_connect_timeout": 10.0}
        self._client = redis.Redis.from_url(url, retry=Retry(ExponentialBackoff(), 5), **patience)

    def begins(self, run: str, number: int) -> None:
        self._client.bitfield(bodies_key(run)).incrby("u8", f"#{number}", 1, "SAT").execute()


def implementations() -> list[Implementation[Any, Any]]:
    """The body, in a worker of a chaos stack; nothing elsewhere."""
    url = os.environ.get(LEDGER_URL, "")
    return [body(Bodies(url))] if url else []


def body(bodies: Bodies) -> Implementation[Any, Any]:
    @implements(soak)
    def soak_task(payload: SoakPayload, outcome: Outcome) -> SoakResult:
        number = number_of(payload.task_id)
        bodies.begins(payload.run, number)
        outcome.effect("XADD", effects_key(payload.run), "*", "n", number)
        return SoakResult()

    return soak_task
