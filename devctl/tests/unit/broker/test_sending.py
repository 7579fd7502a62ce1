from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Message, TaskResult
from devctl.broker.sending import Event, NobodyConsumes, NobodyKnows, Progressed, Published, Sent, send
from devctl.errors import DevctlError


class Time:
    """A clock that only sleeping moves, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [happen for moment, happen in self.at if moment <= self.now]
        self.at = [(moment, happen) for moment, happen in self.at if moment > self.now]
        for happen in due:
            happen()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def broker(time: Time) -> MemoryBroker:
    return MemoryBroker(clock=time)


def tasks(*names: str, queue: str = "q") -> list[Message]:
    return [Message(name, queue, f"id-{number}", (number,)) for number, name in enumerate(names)]


def sent(
    broker: MemoryBroker,
    messages: Sequence[Message],
    events: list[Event],
    time: Time,
    wait: float | None,
    **more: object,
) -> Sent:
    return send(broker, messages, events.append, wait_seconds=wait, clock=time, sleep=time.sleep, **more)  # type: ignore[arg-type]


def boom(_: int) -> None:
    raise KeyError("boom")


def test_what_was_published_is_said_and_nobody_waits_unless_asked(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    broker.add_worker("w@1", queues=["q"], bodies={"t": str})
    messages = tasks("t")

    outcome = sent(broker, messages, events, time, None)

    assert [Published(tuple(messages), 0.0)] == events
    assert (TaskResult("id-0", "pending"),) == outcome.results
    assert (False, False, False) == (outcome.failed, outcome.timed_out, outcome.in_vain)


def test_waiting_ends_with_the_last_result_in_the_order_of_the_messages(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    broker.eager = False
    broker.add_worker("w@1", queues=["q"], bodies={"t": str, "boom": boom})
    time.at = [(1.0, lambda: broker.work(limit=1)), (2.0, broker.work)]

    outcome = sent(broker, tasks("t", "boom"), events, time, 30)

    assert [TaskResult("id-0", "succeeded", "0"), TaskResult("id-1", "failed", None, "KeyError", "'boom'")] == [
        *outcome.results
    ]
    assert outcome.failed
    assert 2.0 <= time.now < 2.1


def test_what_a_task_says_of_its_progress_is_told_once_a_change(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    broker.eager = False
    broker.add_worker("w@1", queues=["q"], bodies={"t": str})
    time.at = [
        (1.0, lambda: broker.says("id-0", 0.25)),
        (2.0, lambda: broker.says("id-0", 0.5, "half")),
        (3.0, broker.work),
    ]

    outcome = sent(broker, tasks("t"), events, time, 30)

    assert [Progressed("id-0", 0.25, ""), Progressed("id-0", 0.5, "half")] == events[1:]
    assert "succeeded" == outcome.results[0].state


def test_nobody_consumes_is_said_at_once_and_waiting_goes_on_to_its_end(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    outcome = sent(broker, tasks("t"), events, time, 3)

    assert NobodyConsumes("q", certain=False) == events[1]
    assert outcome.timed_out
    assert time.now == pytest.approx(3)


def test_a_consumer_that_comes_later_still_does_it(broker: MemoryBroker, events: list[Event], time: Time) -> None:
    time.at = [(1.0, lambda: broker.add_worker("w@1", queues=["q"], bodies={"t": str}))]

    assert "succeeded" == sent(broker, tasks("t"), events, time, 3).results[0].state


def test_waiting_for_what_certainly_nobody_does_is_not_begun(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    outcome = sent(broker, tasks("t"), events, time, 30, nobody_could=lambda queue: queue == "q")

    assert NobodyConsumes("q", certain=True) == events[1]
    assert (True, 0.0) == (outcome.in_vain, time.now)


def test_a_worker_that_does_not_know_the_task_is_named(broker: MemoryBroker, events: list[Event], time: Time) -> None:
    broker.add_worker("w@1", queues=["q"], bodies={"other": str})

    sent(broker, tasks("t"), events, time, None)

    assert NobodyKnows("t", "q", ("w@1",)) == events[1]


def test_each_queue_is_warned_of_once(broker: MemoryBroker, events: list[Event], time: Time) -> None:
    sent(broker, [*tasks("t", "t"), *tasks("t", queue="r")], events, time, None)

    assert [NobodyConsumes("q", certain=False), NobodyConsumes("r", certain=False)] == events[1:]


def test_a_broker_that_is_away_before_has_published_nothing(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    broker.away = "it is gone"
    with pytest.raises(DevctlError) as caught:
        sent(broker, tasks("t"), events, time, 3)
    assert () == caught.value.details
    assert [] == events


def test_a_broker_that_goes_away_meanwhile_does_not_hide_what_was_published(
    broker: MemoryBroker, events: list[Event], time: Time
) -> None:
    time.at = [(1.0, lambda: setattr(broker, "away", "it is gone"))]
    with pytest.raises(DevctlError, match="it is gone") as caught:
        sent(broker, tasks("t"), events, time, 3)
    assert ("published before that: id-0",) == caught.value.details
