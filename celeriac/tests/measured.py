"""A service whose metrics are looked at; run as a script it is its worker. It mounts plain tasks."""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

from celery import Celery

from celeriac import Breaker, Contract, PermanentError, RetryPolicy, TaskPayload, TaskResult, TransientError, on_event
from celeriac.contract.implementation import implements
from celeriac.worker.service import serve

RUN_SECONDS = 0.02
BANK = Breaker("bank")
ATTEMPTS: Counter[UUID] = Counter()


class Plan(TaskPayload):
    failures: int = 0
    forever: bool = False
    seconds: float = RUN_SECONDS


class Nothing(TaskResult):
    pass


work = Contract("measured.work", "measured", Plan, Nothing, retries=RetryPolicy(2, base_seconds=0.01, cap_seconds=0.02))


@implements(work)
def handle(plan: Plan) -> Nothing:
    ATTEMPTS[plan.task_id] += 1
    time.sleep(plan.seconds)
    if plan.forever:
        raise PermanentError("never")
    if ATTEMPTS[plan.task_id] <= plan.failures:
        raise TransientError("later")
    return Nothing()


def mount(app: Celery) -> None:
    if path := os.environ.get("MEASURED_EVENTS"):
        file = Path(path).open("a", buffering=1)  # noqa: SIM115  it stays open as long as the process
        on_event(lambda event, fields: print(json.dumps([event, fields], default=str), file=file) or None)

    @app.task(name="measured.plain")
    def plain(fails: bool = False) -> str:
        if fails:
            raise ValueError("no")
        return "yes"


if __name__ == "__main__":
    sys.exit(serve("measured", [handle]))
