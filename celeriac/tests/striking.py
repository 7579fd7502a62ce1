"""A service whose bodies take Redis away as they end; run as a script it is its worker. REDIS_PID is the process of
Redis, RUNS a file that gets a line for each run."""

import os
import signal
import sys
import time
from pathlib import Path

import redis

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker


class Strike(TaskPayload):
    how: str = "nothing"  # full, refused, paused, killed
    fails: bool = False
    seconds: float = 0.0  # that the body takes


class Note(TaskPayload):
    text: str


class Done(TaskResult):
    pass


strike = Contract("test.strike", "test", Strike, Done)
unrecorded = Contract("test.unrecorded", "test", Strike, Done, record_seconds=None)
note = Contract("test.note", "notes", Note, Done)


def broker() -> redis.Redis:
    return redis.Redis.from_url(environment.load(CelerySettings).broker_url)


def body(plan: Strike, outcome: Outcome) -> Done:
    with Path(os.environ["RUNS"]).open("a") as runs:
        runs.write(f"{plan.task_id}\n")
    time.sleep(plan.seconds)
    outcome.effect("HINCRBY", "effects", str(plan.task_id), 1)
    outcome.publish(note, Note(source_service="test", text="child"))
    match plan.how:
        case "full":
            broker().config_set("maxmemory", 1)
        case "refused":
            broker().config_set("min-replicas-to-write", 1)
        case "paused":
            os.kill(int(os.environ["REDIS_PID"]), signal.SIGSTOP)
        case "killed":
            os.kill(int(os.environ["REDIS_PID"]), signal.SIGKILL)
    if plan.fails:
        raise PermanentError("no")
    return Done(source_service="test")


handle = implements(strike)(body)
handle_unrecorded = implements(unrecorded)(body)

if __name__ == "__main__":
    log = environment.load(LogSettings)
    logs.configure("striking", log.level, log.format)
    app = make_worker("striking", [handle, handle_unrecorded], environment.load(CelerySettings))
    sys.exit(run_worker(app, environment.load(WorkerSettings)))
