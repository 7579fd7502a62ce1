"""A task that misbehaves on request, and its follow-up, for `devctl chaos`.

Its messages can kill the process that runs them. So it is mounted only where CHAOS_LEDGER_URL is set, too; elsewhere it
is an unknown task."""

import os
import signal
import socket
import time
from enum import StrEnum
from typing import Any
from uuid import UUID

import redis
from pydantic import Field
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from celeriac.contract.contract import Contract
from celeriac.contract.implementation import Implementation, implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.policy import RetryPolicy

LEDGER_URL = "CHAOS_LEDGER_URL"
RUN = r"^[a-z0-9-]{1,64}$"
LONGEST_SECONDS = 3600.0
CHUNK, CHUNKS = 64 * 2**20, 64  # 4 GiB in all: more than any limit that a chaos run sets


class ChaosKind(StrEnum):
    WORK = "work"
    FLAKY = "flaky"  # fails at its first start, in a way that a retry heals
    POISON = "poison"  # kills its process
    HANG = "hang"
    MEMORY = "memory"  # wants more than there is


class ChaosPayload(TaskPayload):
    run: str = Field(pattern=RUN)
    kind: ChaosKind = ChaosKind.WORK
    milliseconds: float = Field(default=0.0, ge=0, le=60_000)
    notify: bool = True
    touch: bool = False  # with memory: use it, too, where only a real shortage is noticed


class ChaosResult(TaskResult):
    start: int


chaos = Contract(
    name="tasks.chaos",
    queue="chaos",
    payload=ChaosPayload,
    result=ChaosResult,
    retries=RetryPolicy(limit=3, base_seconds=0.2, cap_seconds=1.0),
)


class ChaosChildPayload(TaskPayload):
    run: str = Field(pattern=RUN)


class ChaosChildResult(TaskResult):
    pass


chaos_child = Contract(
    name="tasks.chaos_child", queue="chaos-children", payload=ChaosChildPayload, result=ChaosChildResult
)


def ledger_key(run: str) -> str:
    """A stream in the ledger's Redis: `id`, `what` (start, finish), `by` (host-pid), `at` (unix seconds there)."""
    return f"chaos:{run}:ledger"


def effects_key(run: str) -> str:
    """A hash in the broker's Redis: task id -> how often its effect was applied."""
    return f"chaos:{run}:effects"


class ChaosLedger:
    """Writes down at once what a body does: a process may be killed right after it has begun a task."""

    def __init__(self, url: str) -> None:
        patience = {"socket_timeout": 10.0, "socket_connect_timeout": 10.0}
        self._client = redis.Redis.from_url(url, retry=Retry(ExponentialBackoff(), 5), **patience)

    def start(self, run: str, task_id: UUID) -> int:
        """Which start of this task it is, from 1."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hincrby(f"chaos:{run}:starts", str(task_id), 1)
        pipe.xadd(ledger_key(run), self._entry(task_id, "start"))
        return int(pipe.execute()[0])

    def finish(self, run: str, task_id: UUID) -> None:
        self._client.xadd(ledger_key(run), self._entry(task_id, "finish"))

    def _entry(self, task_id: UUID, what: str) -> Any:
        by = f"{socket.gethostname()}-{os.getpid()}"
        return {"id": str(task_id), "what": what, "by": by, "at": f"{time.time():.3f}"}


def implementations() -> list[Implementation[Any, Any]]:
    """The bodies, in a worker of a chaos stack; nothing elsewhere."""
    url = os.environ.get(LEDGER_URL, "")
    return [body(ChaosLedger(url)), chaos_child_task] if url else []


def body(ledger: ChaosLedger) -> Implementation[ChaosPayload, ChaosResult]:
    @implements(chaos)
    def chaos_task(payload: ChaosPayload, outcome: Outcome) -> ChaosResult:
        start = ledger.start(payload.run, payload.task_id)
        if payload.milliseconds:
            time.sleep(payload.milliseconds / 1000)
        if payload.kind is ChaosKind.FLAKY and start == 1:
            raise TransientError("the first start of a flaky task fails")
        if payload.kind is not ChaosKind.FLAKY:
            _misbehave(payload)
        outcome.effect("HINCRBY", effects_key(payload.run), str(payload.task_id), 1)
        if payload.notify:
            outcome.publish(chaos_child, ChaosChildPayload(source_service=payload.source_service, run=payload.run))
        ledger.finish(payload.run, payload.task_id)
        return ChaosResult(start=start)

    return chaos_task


@implements(chaos_child)
def chaos_child_task(_: ChaosChildPayload) -> ChaosChildResult:
    """That it is done is in its record."""
    return ChaosChildResult()


def _misbehave(payload: ChaosPayload) -> None:
    if payload.kind is ChaosKind.POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    elif payload.kind is ChaosKind.HANG:
        time.sleep(LONGEST_SECONDS)
    elif payload.kind is ChaosKind.MEMORY:
        held = [bytearray(b"\1") * CHUNK if payload.touch else bytearray(CHUNK) for _ in range(CHUNKS)]
        raise PermanentError(f"no limit kept this process from {len(held) * CHUNK} bytes")
