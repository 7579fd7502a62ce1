"""A task that does nothing, or works, or waits: what `devctl bench` measures with."""

import time
from enum import StrEnum

from pydantic import Field

from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.payloads import TaskPayload, TaskResult


class BenchKind(StrEnum):
    NOOP = "noop"
    CPU = "cpu"
    WAIT = "wait"


class BenchPayload(TaskPayload):
    kind: BenchKind = BenchKind.NOOP
    milliseconds: float = Field(default=0.0, ge=0, le=60_000)


class BenchResult(TaskResult):
    kind: BenchKind


bench = Contract(
    name="tasks.bench", queue="bench", payload=BenchPayload, result=BenchResult, ignore_result=True, record_seconds=None
)


@implements(bench)
def bench_task(payload: BenchPayload) -> BenchResult:
    seconds = payload.milliseconds / 1000
    if payload.kind is BenchKind.WAIT:
        time.sleep(seconds)
    elif payload.kind is BenchKind.CPU:
        # CPU time of this thread, not the clock: beside others it takes longer, and shall.
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    return BenchResult(kind=payload.kind)
