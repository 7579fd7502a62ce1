"""A plain Celery app with the one line, under `celery -A proj worker`."""

import importlib.util
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from celeriac.tests.installed.conftest import APPS, Plain
from celery import _state, chord, group
from celery.exceptions import NotRegistered

from celeriac.app import installation

pytestmark = pytest.mark.integration
SECONDS = 20.0


@pytest.fixture(scope="module")
def proj(shared: Plain) -> Iterator[ModuleType]:
    """The app in this process, as its client, while a worker runs."""
    with pytest.MonkeyPatch.context() as patch:
        # Its tasks are shared, as Celery's are: without this every app that a later test makes would have them.
        patch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))
        patch.setenv("PLAIN_URL", shared.url)
        patch.setenv("PLAIN_RESULTS", shared.url)
        spec = importlib.util.spec_from_file_location("proj.celery", APPS / "proj" / "celery.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "proj.celery", module)
        spec.loader.exec_module(module)
        shared.worker(
            "celery", "-A", "proj", "worker", "-c", "4", mingles=True, from_nothing=True
        )  # as people start it
        yield module
        module.app.close()
        installation.forget_installed()


def dead(shared: Plain, task_id: str) -> list[dict[str, Any]]:
    found: Any = shared.client.xrange("celery-dead-celery")
    return [about for _, fields in found if (about := json.loads(fields["about"])).get("task_id") == task_id]


def test_a_task_runs_and_its_result_comes(proj: Any) -> None:
    assert 3 == proj.add.delay(1, 2).get(timeout=SECONDS)
    assert "threads" in proj.app.control.inspect(timeout=5, limit=1).stats().popitem()[1]["pool"]


def test_a_failure_is_told_with_its_error(proj: Any) -> None:
    with pytest.raises(ValueError, match=r"^no$"):
        proj.fails.delay().get(timeout=SECONDS)


def test_the_log_has_celerys_own_lines(proj: Any, shared: Plain) -> None:
    sent = proj.add.delay(30, 2)
    assert 32 == sent.get(timeout=SECONDS)
    shared.until(lambda: f"Task proj.celery.add[{sent.id}] succeeded in" in shared.log())
    assert f"Task proj.celery.add[{sent.id}] received" in shared.log()
    (done,) = (line for line in shared.log().splitlines() if f"[{sent.id}] succeeded" in line)
    assert done.endswith("s: 32")


def test_a_body_is_told_its_limits(proj: Any) -> None:
    sent = proj.limits.apply_async(time_limit=30, soft_time_limit=20)
    assert [30, 20] == sent.get(timeout=SECONDS)
    assert [None, None] == proj.limits.delay().get(timeout=SECONDS)


def test_chains_groups_and_chords_work(proj: Any) -> None:
    assert 7 == (proj.add.s(1, 2) | proj.add.s(4)).apply_async().get(timeout=SECONDS)
    assert [2, 4] == group(proj.add.s(1, 1), proj.add.s(2, 2)).apply_async().get(timeout=SECONDS)
    assert 20 == chord([proj.add.s(n, n) for n in range(5)], proj.total.s()).apply_async().get(timeout=SECONDS)


def test_a_retry_waits_in_redis_and_runs_again(proj: Any) -> None:
    assert 2 == proj.again.delay(2).get(timeout=SECONDS)


@pytest.mark.parametrize("offset", [0, 2, -5])
def test_a_task_with_an_eta_waits_for_it(proj: Any, shared: Plain, offset: int) -> None:
    from datetime import timezone

    before = datetime.now(UTC)
    due = (before + timedelta(seconds=1.5)).astimezone(timezone(timedelta(hours=offset)))
    sent = proj.add.apply_async((1, 2), eta=due)
    shared.until(lambda: shared.client.zcard("celery-due"))
    assert 3 == sent.get(timeout=SECONDS)
    assert (datetime.now(UTC) - before).total_seconds() >= 1.4


def test_a_soft_limit_interrupts_the_body(proj: Any) -> None:
    assert "interrupted" == proj.soft.delay().get(timeout=SECONDS)


def test_a_body_that_waits_for_what_it_sends_gets_it(proj: Any) -> None:
    assert proj.parent.delay().get(timeout=SECONDS)


def test_an_unknown_task_is_a_failure_and_a_dead_letter(proj: Any, shared: Plain) -> None:
    sent = proj.app.send_task("not.here")
    with pytest.raises(NotRegistered):
        sent.get(timeout=SECONDS)
    assert ["unknown-task"] == [one["reason"] for one in shared.until(lambda: dead(shared, sent.id))]


def test_a_message_that_nobody_can_read_is_a_dead_letter(shared: Plain, proj: Any) -> None:
    before = shared.client.xlen("celery-dead-celery")
    shared.client.lpush("celery", "{ no message")
    shared.until(lambda: shared.client.xlen("celery-dead-celery") == before + 1)
    assert 3 == proj.add.delay(1, 2).get(timeout=SECONDS)


def test_a_base_class_of_the_users_own_gets_our_way_and_its_hook_sees_the_commit(proj: Any, shared: Plain) -> None:
    assert 5 == proj.with_base.delay(5).get(timeout=SECONDS)
    assert "SUCCESS 0" == shared.until(lambda: shared.client.lpop("hooks"))


def test_a_task_that_is_registered_late_runs(proj: Any) -> None:
    assert 4 == proj.app.send_task("proj.later", (4,)).get(timeout=SECONDS)


def test_a_revoked_task_does_not_run(proj: Any, shared: Plain) -> None:
    name = str(uuid.uuid4())
    sent = proj.note.apply_async((name,), countdown=1.0)
    proj.app.control.revoke(sent.id)
    shared.until(lambda: sent.state == "REVOKED")
    assert [] == shared.notes(name)


def test_revoking_while_this_connection_waits_for_answers_works(proj: Any) -> None:
    """kombu may have a BRPOP under way on it: here, after an answer of remote control that did not come."""
    with proj.app.connection_for_write() as connection:
        for _ in range(3):
            proj.app.control.inspect(timeout=0.2, connection=connection, destination=["nobody@here"]).ping()
            proj.app.control.revoke(str(uuid.uuid4()), connection=connection)


def test_a_stock_client_is_served_beside(proj: Any, shared: Plain) -> None:
    told = shared.command(
        "celery", "-A", "proj", "call", "proj.celery.add", "--args", "[20, 3]", PLAIN_STOCK="1"
    )  # fmt: skip
    assert 0 == told.returncode, told.stderr
    result = proj.app.AsyncResult(told.stdout.strip())
    assert 23 == result.get(timeout=SECONDS)
