"""A clean stop of Celery's own pools: what is done is acknowledged, what has not started goes back."""

import time
from pathlib import Path
from typing import Any

import pytest
from celeriac.tests.conftest import HERE, start_worker
from celeriac.tests.test_kept_outcomes import Field

pytestmark = pytest.mark.integration

POOLS = [("prefork", 8), ("solo", 1)]


@pytest.fixture
def field(redis_to_break: Any, tmp_path: Path, striking: Any, request: pytest.FixtureRequest) -> Any:
    pool, concurrency = request.param
    field = Field(redis_to_break, tmp_path, striking, {"WORKER_POOL": pool, "WORKER_CONCURRENCY": str(concurrency)})
    yield field
    field.end()


def wait_for_runs(field: Field, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(field.runs()) < count:
        assert time.monotonic() < deadline, field.worker.output()
        time.sleep(0.005)


@pytest.mark.parametrize("field", POOLS, ids=[pool for pool, _ in POOLS], indirect=True)
def test_every_body_runs_once_though_the_worker_is_stopped_in_between(field: Field, tmp_path: Path) -> None:
    plans = [field.service.Strike(source_service="t", seconds=0.02) for _ in range(60)]
    sent = field.service.unrecorded.bind(field.app).publish_many(plans).accepted
    wait_for_runs(field, 20)
    assert 0 == field.worker.stop()
    ran = len(field.runs())
    assert ran < 60
    assert (0, 0) == (field.broker.hlen("unacked"), field.broker.zcard("celery-leases")), field.worker.output()
    assert (60 - ran, ran) == (field.broker.llen("test"), field.broker.llen("notes"))
    assert 0 == field.broker.hlen("celery-starts")
    (tmp_path / "second").mkdir()
    second = start_worker(
        [str(HERE / "striking.py")], field.server.url, tmp_path / "second", RUNS=str(field.runs_file), LOG_LEVEL="info"
    )
    wait_for_runs(field, 60)
    field.settled()
    assert 0 == second.stop()
    assert sorted(sent) == sorted(field.runs())


@pytest.mark.parametrize("field", [("prefork", 4)], ids=["prefork"], indirect=True)
def test_nothing_is_forgotten_where_connections_break(field: Field) -> None:
    """Celery forgets what it has not heard of its children; the claims are still ours."""
    plans = [field.service.Strike(source_service="t", seconds=0.02) for _ in range(150)]
    sent = field.service.unrecorded.bind(field.app).publish_many(plans).accepted
    for runs in (10, 50, 90):
        wait_for_runs(field, runs)
        field.broker.execute_command("CLIENT", "KILL", "TYPE", "normal")
    wait_for_runs(field, 150)
    field.settled()
    assert (sorted(sent), 150) == (sorted(field.runs()), field.broker.llen("notes"))
    assert {b"1"} == set(field.broker.hvals("effects"))
    assert 0 == field.worker.stop()
