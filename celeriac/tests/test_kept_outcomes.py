"""Prefork, solo and kombu's transport, on real workers: Redis takes nothing as a body ends, and the outcome is kept
until it does."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import HERE, RunningWorker, start_worker
from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.errors import PermanentError

pytestmark = pytest.mark.integration

POOLS = {
    "prefork": {"WORKER_POOL": "prefork"},
    "solo": {"WORKER_POOL": "solo"},
    "stock": {"WORKER_POOL": "prefork", "CELERY_TRANSPORT": "stock"},
}


class Field:
    """A Redis whose data survives, a worker, and a client."""

    def __init__(self, server: Any, folder: Path, service: ModuleType, settings: dict[str, str]) -> None:
        self.server, self.service, self.runs_file = server, service, folder / "runs"
        server.stop()
        server.options = ("--appendonly", "yes", "--appendfsync", "always")
        server.start()
        self.broker = redis.Redis(port=server.port)
        self.worker: RunningWorker = start_worker(
            [str(HERE / "striking.py")],
            server.url,
            folder,
            LOG_LEVEL="info",
            REDIS_PID=str(server.pid),
            RUNS=str(self.runs_file),
            **settings,
        )
        self.worker.wait_until_ready()
        transport: Any = settings.get("CELERY_TRANSPORT", "atomic")
        self.app: Celery = make_app("test", CelerySettings(broker_url=server.url, transport=transport))

    def send(self, contract: str, **plan: Any) -> Any:
        return getattr(self.service, contract).bind(self.app).delay(self.service.Strike(source_service="t", **plan))

    def runs(self) -> list[str]:
        return self.runs_file.read_text().split() if self.runs_file.exists() else []

    def struck(self) -> None:
        """The body has ended, and its outcome meets what it left."""
        deadline = time.monotonic() + 20
        while not self.runs():
            assert time.monotonic() < deadline, self.worker.output()
            time.sleep(0.01)
        time.sleep(0.5)

    def mend(self, how: str) -> None:
        match how:
            case "full":
                self.broker.config_set("maxmemory", 0)
            case "refused":
                self.broker.config_set("min-replicas-to-write", 0)
            case "paused":
                time.sleep(5.5)  # longer than anybody waits for an answer
                self.server.resume()
            case "killed":
                self.server.process.wait()
                self.server.start()

    def letters(self) -> list[str]:
        entries: Any = self.broker.xrange("celery-dead-test")
        return [json.loads(fields[b"about"])["reason"] for _, fields in entries]

    def settled(self) -> None:
        deadline = time.monotonic() + 20
        while self.broker.hlen("unacked") or self.broker.llen("test"):
            assert time.monotonic() < deadline, (self.broker.hgetall("unacked"), self.worker.output())
            time.sleep(0.02)

    def end(self) -> None:
        self.app.close()
        self.app.backend.client.close()
        self.broker.close()
        self.worker.process.kill()
        self.worker.process.wait()


@pytest.fixture(params=POOLS.values(), ids=POOLS)
def field(redis_to_break: Any, tmp_path: Path, striking: ModuleType, request: pytest.FixtureRequest) -> Iterator[Field]:
    field = Field(redis_to_break, tmp_path, striking, request.param)
    yield field
    field.end()


@pytest.mark.parametrize("contract", ["strike", "unrecorded"])
@pytest.mark.parametrize("how", ["full", "paused", "killed"])
def test_a_success_is_kept_and_happens_once(field: Field, how: str, contract: str) -> None:
    if how == "paused" and contract == "strike":
        pytest.skip("the harder one of the two is enough: it takes long")
    pending = field.send(contract, how=how)
    field.struck()
    field.mend(how)
    pending.get(timeout=20)
    field.settled()
    assert [pending.id] == field.runs(), field.worker.output()
    assert {pending.id.encode(): b"1"} == field.broker.hgetall("effects"), field.worker.output()
    assert (1, []) == (field.broker.llen("notes"), field.letters())
    assert not field.broker.keys("celery-unclaimed-*") or how != "full"


@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_failure_is_kept_and_leaves_one_letter(field: Field, how: str) -> None:
    pending = field.send("strike", how=how, fails=True)
    field.struck()
    field.mend(how)
    with pytest.raises(PermanentError, match="no"):
        pending.get(timeout=20)
    field.settled()
    assert ([pending.id], ["permanent"]) == (field.runs(), field.letters()), field.worker.output()
    assert (0, 0) == (field.broker.hlen("effects"), field.broker.llen("notes"))


@pytest.mark.parametrize("field", [POOLS["prefork"]], ids=["prefork"], indirect=True)
@pytest.mark.parametrize("how", ["refused", "full"])
def test_a_soft_limit_that_comes_while_the_outcome_or_its_result_waits_is_too_late(field: Field, how: str) -> None:
    """A full Redis takes the outcome, and no result."""
    plan = field.service.Strike(source_service="t", how=how)
    pending = field.service.strike.bind(field.app).apply_async(plan, soft_time_limit=1)
    field.struck()
    time.sleep(2)
    field.mend(how)
    pending.get(timeout=20)
    field.settled()
    assert "SoftTimeLimitExceeded" not in field.worker.output() or how == "full"
    assert ([pending.id], []) == (field.runs(), field.letters())
    assert ([b"1"], 1) == (field.broker.hvals("effects"), field.broker.llen("notes"))
