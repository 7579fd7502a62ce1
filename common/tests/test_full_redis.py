"""What becomes of a task when Redis is full at its end: it waits for room, and its worker goes on."""

import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import Reject, Retry
from kombu.exceptions import EncodeError, OperationalError

from common_tasks import execution
from common_tasks.celery_app import make_app
from common_tasks.errors import PermanentError, TransientError
from common_tasks.retries import RetryPolicy
from common_tasks.settings import CelerySettings


@pytest.fixture
def app(redis_to_break: Any) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=redis_to_break.url))
    yield app
    app.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("how", "failures", "told"),
    [("well", 0, "Failed operation _store_result"), ("transient", 1, "task.retry_refused")],
    ids=["a result", "a retry"],
)
def test_what_a_full_redis_refuses_is_sent_again_until_there_is_room(
    how: str,
    failures: int,
    told: str,
    misbehaving: ModuleType,
    worker_of_its_own: Any,
    redis_to_break: Any,
    app: Celery,
) -> None:
    plan = misbehaving.Plan(source_service="test", how=how, failures=failures)
    pending = misbehaving.fill.bind(app).delay(plan)
    deadline = time.monotonic() + 20
    while told not in worker_of_its_own.output():
        assert time.monotonic() < deadline, worker_of_its_own.output()
        time.sleep(0.02)
    with redis.Redis(port=redis_to_break.port) as client:
        client.config_set("maxmemory", 0)
    assert failures + 1 == pending.get(timeout=20).attempts
    after = misbehaving.upper.bind(app).delay(misbehaving.Upper(source_service="test", text="fine"))
    assert "FINE" == after.get(timeout=10).text


class RefusingTask:
    """Celery's task, for as much as a retry needs: refused as often as there are reasons, then published."""

    def __init__(self, *reasons: Exception) -> None:
        self.reasons = list(reasons)
        self.request = SimpleNamespace(retries=0)

    def retry(self, **_: Any) -> Exception:
        if self.reasons:
            raise Reject(self.reasons.pop(0), requeue=False)
        raise Retry


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(execution.time, "sleep", seconds.append)
    return seconds


RETRIES = RetryPolicy(limit=3, cap_seconds=1)


def test_the_waits_between_attempts_to_publish_a_retry_are_bounded(slept: list[float]) -> None:
    task = RefusingTask(*[OperationalError("OOM"), redis.exceptions.OutOfMemoryError("OOM")] * 5)
    with pytest.raises(Retry):
        execution._failed(task, RETRIES, TransientError("later"), 0.0)
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5] == slept


def test_a_retry_that_nobody_will_ever_take_makes_the_failure_the_outcome(slept: list[float]) -> None:
    ended = execution._failed(RefusingTask(EncodeError("no JSON")), RETRIES, TransientError("later"), 0.0)
    assert (TransientError, "later", []) == (type(ended), str(ended), slept)


def test_what_is_not_to_be_tried_again_is_not(slept: list[float]) -> None:
    ended = execution._failed(RefusingTask(), RETRIES, PermanentError("never"), 0.0)
    assert (PermanentError, []) == (type(ended), slept)
