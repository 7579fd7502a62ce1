"""What becomes of a task when Redis is full at its end: it is committed all the same, and makes room."""

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import Reject, Retry
from kombu.exceptions import EncodeError, OperationalError

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.contract import execution
from celeriac.errors import NotPublished, TransientError
from celeriac.retry.policy import Again


@pytest.fixture
def app(redis_to_break: Any) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=redis_to_break.url))
    yield app
    app.close()


@pytest.mark.integration
@pytest.mark.parametrize(("how", "failures"), [("well", 0), ("transient", 1)], ids=["a result", "a retry"])
def test_a_full_redis_takes_outcomes_and_refuses_publishers(
    how: str, failures: int, misbehaving: ModuleType, worker_of_its_own: Any, redis_to_break: Any, app: Celery
) -> None:
    plan = misbehaving.Plan(source_service="test", how=how, failures=failures)
    pending = misbehaving.fill.bind(app).delay(plan)
    assert failures + 1 == pending.get(timeout=20).attempts, worker_of_its_own.output()
    upper = misbehaving.upper.bind(app)
    with pytest.raises(NotPublished):
        upper.delay(misbehaving.Upper(source_service="test", text="full"))
    with redis.Redis(port=redis_to_break.port) as client:
        assert 0 == client.hlen("unacked")
        client.config_set("maxmemory", 0)
    assert "FINE" == upper.delay(misbehaving.Upper(source_service="test", text="fine")).get(timeout=10).text


class RefusingTask:
    """Celery's task, for as much as a retry needs: refused as often as there are reasons, then published."""

    def __init__(self, *reasons: Exception) -> None:
        self.reasons = list(reasons)
        self.request = SimpleNamespace(retries=0)
        self.retries: list[int] = []

    def retry(self, **_: Any) -> Exception:
        if self.reasons:
            raise Reject(self.reasons.pop(0), requeue=False)
        self.retries.append(self.request.retries)
        raise Retry


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(execution.time, "sleep", seconds.append)
    return seconds


LATER = TransientError("later")


def test_the_waits_between_attempts_to_publish_a_retry_are_bounded(slept: list[float]) -> None:
    task = RefusingTask(*[OperationalError("OOM"), redis.exceptions.OutOfMemoryError("OOM")] * 5)
    with pytest.raises(Retry):
        execution._retry(task, LATER, Again(1.0))
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5] == slept


def test_a_retry_that_nobody_will_ever_take_is_none(slept: list[float]) -> None:
    execution._retry(RefusingTask(EncodeError("no JSON")), LATER, Again(1.0))
    assert [] == slept


@pytest.mark.parametrize(("counts", "told"), [(True, 0), (False, -1)])
def test_a_retry_behind_an_open_breaker_uses_up_none(counts: bool, told: int, slept: list[float]) -> None:
    task = RefusingTask()
    with pytest.raises(Retry):
        execution._retry(task, LATER, Again(1.0, counts))
    assert ([told], 0) == (task.retries, task.request.retries)  # Celery adds one to what it sees
