"""A service that fails in every way that a handler can; run as a script it is its worker."""

import sys
from collections import Counter
from threading import Thread
from typing import Any
from uuid import UUID

import pydantic
import redis
from celery import Celery, Task

from celeriac import environment, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError, ValidationError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker


class Plan(TaskPayload):
    how: str = "well"
    failures: int = 0


class Note(TaskPayload):
    text: str


class Attempts(TaskResult):
    attempts: int


class Awkward(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class Upper(TaskPayload):
    text: str


class Text(TaskResult):
    source_service: str = "test"
    text: str


class Texts(pydantic.RootModel[list[Text]]):
    pass


QUICK = RetryPolicy(limit=3, cap_seconds=0.01, base_seconds=0.001)

misbehave = Contract(name="test.misbehave", queue="test", payload=Plan, result=Attempts, retries=QUICK)
note = Contract(name="test.note", queue="notes", payload=Note, result=Attempts)
walk = Contract(name="test.walk", queue="test", payload=Plan, result=Attempts, retries=QUICK)
fill = Contract(name="test.fill", queue="test", payload=Plan, result=Attempts, retries=QUICK)
upper = Contract(name="test.upper", queue="test", payload=Upper, result=Text)
join = Contract(name="test.join", queue="test", payload=Texts, result=Text)

ATTEMPTS: Counter[UUID] = Counter()


def failure(how: str) -> BaseException:
    kinds: dict[str, Any] = {
        "transient": lambda: TransientError("come back later"),
        "connection": lambda: ConnectionRefusedError(111, "refused"),
        "timeout": lambda: TimeoutError("too slow"),
        "permanent": lambda: PermanentError("never"),
        "validation": lambda: ValidationError("not like this"),
        "type": lambda: TypeError("a str is not an int"),
        "key": lambda: KeyError("gone"),
        "awkward": lambda: Awkward(code=7),
        "secret": lambda: PermanentError("cannot reach redis://user:hunter2@host:6379/0"),
        "exit": lambda: SystemExit(3),
        "memory": lambda: MemoryError("all of it"),
    }
    if how == "pydantic":
        try:
            Upper.model_validate({"source_service": "x"})
        except pydantic.ValidationError as exc:
            return exc
    return kinds[how]()


@implements(misbehave)
def handle(plan: Plan, outcome: Outcome) -> Attempts:
    ATTEMPTS[plan.task_id] += 1
    outcome.publish(note, Note(source_service="test", text=str(ATTEMPTS[plan.task_id])))
    if ATTEMPTS[plan.task_id] <= plan.failures:
        raise failure(plan.how)
    return Attempts(attempts=ATTEMPTS[plan.task_id])


@implements(walk)
def handle_walk(plan: Plan, outcome: Outcome) -> Attempts:
    """Half way, also said by a thread of its own, it waits until somebody has seen that."""
    ATTEMPTS[plan.task_id] += 1
    thread = Thread(target=outcome.progress, args=(0.5, "half way"))
    thread.start()
    thread.join()
    with redis.Redis.from_url(environment.load(CelerySettings).broker_url) as client:
        assert client.blpop([f"seen-{plan.task_id}"], timeout=10)
    if ATTEMPTS[plan.task_id] <= plan.failures:
        raise failure(plan.how)
    return Attempts(attempts=ATTEMPTS[plan.task_id])


@implements(fill)
def handle_fill(plan: Plan) -> Attempts:
    """Redis is full from the first attempt on, until somebody gives it room."""
    ATTEMPTS[plan.task_id] += 1
    if ATTEMPTS[plan.task_id] == 1:
        with redis.Redis.from_url(environment.load(CelerySettings).broker_url) as client:
            client.config_set("maxmemory", 1)
    if ATTEMPTS[plan.task_id] <= plan.failures:
        raise failure(plan.how)
    return Attempts(attempts=ATTEMPTS[plan.task_id])


@implements(upper)
def handle_upper(payload: Upper) -> Text:
    return Text(text=payload.text.upper())


@implements(join)
def handle_join(payload: Texts) -> Text:
    return Text(text=" ".join(one.text for one in payload.root))


class Celerys(Task):
    """Its messages go Celery's own way."""

    def before_start(self, *_: Any) -> None:
        pass


def worker() -> Celery:
    owned = [handle, handle_walk, handle_fill, handle_upper, handle_join]
    app = make_worker("misbehaving", owned, environment.load(CelerySettings))

    @app.task(name="test.plain")
    def plain(text: str) -> str:
        return text

    @app.task(name="test.celerys", base=Celerys)
    def celerys(text: str) -> str:
        return text

    return app


if __name__ == "__main__":
    log = environment.load(LogSettings)
    logs.configure("misbehaving", log.level, log.format)
    sys.exit(run_worker(worker(), environment.load(WorkerSettings)))
