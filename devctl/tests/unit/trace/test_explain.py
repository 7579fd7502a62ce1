"""Where a message is that has not ended, and what can be told of an id without records."""

from __future__ import annotations

import time

import pytest
from devctl.tests.unit.trace.steps import ORDER, at, claimed, ended, made, only, published

from celeriac.dead_letter.letters import Letter
from celeriac.life.record import Kind, Record
from devctl.broker.memory import MemoryBroker, MemoryLife
from devctl.broker.port import Holder, Message, TaskResult
from devctl.trace.explain import Unknown, located, without_records
from devctl.trace.model import Trace, Where
from devctl.ui.trace_rows import place, unknown

NOW = at(3_000)


def holding(*records: Record, waiting: int = 0) -> MemoryBroker:
    """A broker where the order waits behind others."""
    broker = MemoryBroker(life=MemoryLife(list(records)), eager=False)
    broker.publish([Message("tasks.x", "orders", f"other-{n}") for n in range(waiting)])
    return broker


def where(broker: MemoryBroker, *records: Record) -> str:
    trace = located(made(list(records)), broker)
    return place(trace.where[ORDER], trace.now)


def test_it_waits_since_3_s_behind_12_others_in_orders() -> None:
    broker = holding(waiting=12)
    broker.publish([Message("tasks.process_order", "orders", ORDER)])

    assert "waits since 3s behind 12 others in orders" == where(broker, published(0))


def test_it_is_next_when_nothing_waits_before_it() -> None:
    broker = holding()
    broker.publish([Message("tasks.process_order", "orders", ORDER)])

    assert "waits since 3s, is next in orders" == where(broker, published(0))


def test_it_is_due_in_20_s() -> None:
    broker = holding()
    broker.delay(Message("tasks.process_order", "orders", ORDER))

    assert "due in 20.0s in orders" == where(broker, published(0, due_at=at(23_000)))


def test_it_is_claimed_by_a_worker_that_has_not_begun() -> None:
    assert "claimed by worker@a1 since 2s, and has not begun" == where(holding(), published(0), claimed(1))


def test_a_message_that_is_nowhere_is_called_gone() -> None:
    assert "its message is in no queue any more" in where(holding(), published(0))


def test_a_message_that_was_published_this_moment_is_not_called_gone() -> None:
    assert where(holding(), published(2_900)).startswith("waits since 0s in orders")


def test_a_paused_queue_and_one_with_too_many_dead_letters_say_why_nothing_moves() -> None:
    paused = Where("waiting", "orders", 3, NOW, paused=True)
    stopped = Where("waiting", "orders", 3, NOW, stopped=True)

    assert place(paused, NOW).endswith("; the queue is paused: devctl queues resume orders")
    assert place(stopped, NOW).endswith("its dead letters are at their bound")


def test_a_paused_queue_is_seen() -> None:
    broker = holding()
    broker.publish([Message("tasks.process_order", "orders", ORDER)])
    broker.pause("orders")

    assert "the queue is paused" in where(broker, published(0))


def test_a_dead_letter_is_named_as_long_as_it_is_there() -> None:
    broker = holding()
    broker.bury(Letter("orders/1-0", "orders", "permanent", 5.0, 1, task_id="other"))
    broker.bury(Letter("orders/2-0", "orders", "permanent", 5.0, 1, task_id=ORDER))
    trace = located(made([published(0), claimed(1), ended(5, 1, Kind.DEAD, reason="permanent")]), broker)

    assert {ORDER: "orders/2-0"} == trace.letters


def told(broker: MemoryBroker) -> Trace:
    found = without_records(broker, ORDER, NOW)
    assert isinstance(found, Trace)
    return found


def test_without_records_its_result_is_still_there() -> None:
    broker = holding()
    broker._results[ORDER] = TaskResult(ORDER, "succeeded", finished=NOW)

    trace = told(broker)

    assert ("succeeded", NOW) == (only(trace).state, only(trace).end)
    assert "no step of it is recorded: records are off (CELERY_LIFE_LENGTH=0)" in trace.gaps[0]


def test_without_records_an_error_is_told() -> None:
    broker = holding(published(0, "other"))
    broker._results[ORDER] = TaskResult(ORDER, "failed", error_type="ValueError", error_message="no such product")

    trace = told(broker)

    assert ("failed", "ValueError: no such product") == (only(trace).state, only(trace).error)
    assert "older than the records" in trace.gaps[0]


def test_of_stock_celery_its_message_waits_behind_others_and_the_reason_for_no_records_stands_there() -> None:
    broker = holding(waiting=2)
    broker.celeriac, broker.life.why_none = False, "stock Celery writes down no steps"
    broker.publish([Message("tasks.process_order", "orders", ORDER)])

    trace = told(broker)

    assert "waits behind 2 others in orders" == place(trace.where[ORDER], NOW)
    assert ("stock Celery writes down no steps",) == trace.gaps


def test_of_stock_celery_the_worker_that_runs_it_is_named() -> None:
    broker = holding()
    broker.holders = {ORDER: Holder("celery@a", runs=True)}

    trace = told(broker)

    assert ("running", "runs on celery@a") == (only(trace).state, place(trace.where[ORDER], NOW))


def test_a_dead_letter_without_records_is_told() -> None:
    broker = holding()
    broker.bury(Letter("orders/2-0", "orders", "unknown-task", 5.0, 1, task="tasks.gone", task_id=ORDER, worker="w@1"))

    span = only(told(broker))

    assert ("dead", "tasks.gone", "unknown-task", "w@1", 5.0) == (
        span.state,
        span.name,
        span.reason,
        span.who,
        span.end,
    )


@pytest.mark.parametrize(
    ("broker", "reason", "said"),
    [
        (holding(), "off", "records are off (CELERY_LIFE_LENGTH=0)"),
        (holding(published(0, "other")), "never", "it was never seen here, or it ended before the records begin"),
        (MemoryBroker(life=MemoryLife(why_none="stock Celery writes down no steps")), "stock", "stock Celery writes"),
    ],
)
def test_an_id_of_which_nothing_is_known_says_why_that_may_be(broker: MemoryBroker, reason: str, said: str) -> None:
    found = without_records(broker, ORDER, NOW)

    assert isinstance(found, Unknown)
    assert reason == found.reason
    problem, details = unknown(ORDER, found)
    assert f"nothing is known of {ORDER}" == problem
    assert said in details[0]


def test_an_id_with_a_time_in_it_that_is_before_all_records_has_expired() -> None:
    made_at = int((at(0) - 86_400) * 1_000)
    version_7 = f"{made_at >> 16:08x}-{made_at & 0xFFFF:04x}-7abc-8def-0123456789ab"
    later = int(time.time() * 1_000)
    new = f"{later >> 16:08x}-{later & 0xFFFF:04x}-7abc-8def-0123456789ab"

    old = without_records(holding(published(0, "other")), version_7, NOW)
    fresh = without_records(holding(published(0, "other")), new, NOW)

    assert isinstance(old, Unknown)
    assert isinstance(fresh, Unknown)
    assert ("expired", "never") == (old.reason, fresh.reason)
    assert "published before the records begin" in unknown(version_7, old)[1][0]
