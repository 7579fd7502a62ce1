from __future__ import annotations

from typing import Any

import pytest

from celeriac.dead_letter.letters import Letter
from celeriac.message.frame import frame
from devctl.broker.memory import MemoryBroker
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.dead_letters.check import Flaw
from devctl.dead_letters.replay import Event, Gone, Plan, Refused, Replayed, rate, run
from devctl.errors import DevctlError, Interrupted, UsageError

CATALOG = Catalog([TaskContract("tasks.echo", "orders", int)])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(eager=False)


def bury(broker: MemoryBroker, *payloads: Any) -> list[str]:
    ids = []
    for n, payload in enumerate(payloads, len(broker._dead)):
        raw = frame("tasks.echo", "orders", [payload], task_id=f"id-{n}")
        ids.append(f"orders/{n}-0")
        broker.bury(Letter(ids[-1], "orders", "permanent", float(n), len(raw), task="tasks.echo", raw=raw))
    return ids


def replay(broker: MemoryBroker, ids: list[str], **plan: Any) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    clock = Clock()
    report = run(ids, Plan(**plan), broker, CATALOG, events.append, now=clock, clock=clock, sleep=clock.sleep)
    return report, events


def waiting(broker: MemoryBroker) -> int:
    return broker.queues(["orders"])[0].waiting


def test_valid_letters_are_messages_again_in_the_order_given(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, 2, 3)

    report, events = replay(broker, ids)

    assert ids == [one.id for one in report.replayed]
    assert [(1, 3), (2, 3), (3, 3)] == [(one.number, one.of) for one in events if isinstance(one, Replayed)]
    first = broker.claim(["orders"])
    assert first is not None
    assert ("id-0", (1,)) == (first.task_id, first.args)
    assert (2, 0) == (waiting(broker), broker.queues(["orders"])[0].dead)


def test_an_invalid_one_stays_with_what_is_wrong_and_stops_no_other(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, "one", 3)

    report, events = replay(broker, ids)

    expected = (Flaw("payload", "must be a whole number"),)
    assert [(ids[1], expected)] == [(one.letter.id, one.flaws) for one in report.refused]
    assert [ids[1]] == [one.id for one in broker.letters()]
    assert [Replayed, Refused, Replayed] == [type(one) for one in events]


def test_the_second_time_nothing_happens_and_it_says_so(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, 2)
    replay(broker, ids[:1])

    report, events = replay(broker, ids)

    assert ([ids[0]], [ids[1]]) == (report.gone, [one.id for one in report.replayed])
    assert Gone(ids[0]) in events
    assert 2 == waiting(broker)


def test_one_that_goes_while_it_is_looked_at_is_gone_too(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = bury(broker, 1)
    monkeypatch.setattr(broker, "replay", lambda letter: False)

    assert ([one], []) == (lambda report: (report.gone, report.replayed))(replay(broker, [one])[0])


def test_a_dry_run_tells_the_same_and_changes_nothing(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, "two")

    report, _ = replay(broker, [*ids, "orders/9-9"], dry_run=True)

    assert ([ids[0]], [ids[1]], ["orders/9-9"]) == (
        [one.id for one in report.replayed], [one.letter.id for one in report.refused], report.gone,
    )  # fmt: skip
    assert (0, ids) == (waiting(broker), [one.id for one in broker.letters()])


def test_no_more_than_asked_are_replayed_and_refused_ones_do_not_count(broker: MemoryBroker) -> None:
    ids = bury(broker, "x", 1, 2, 3, 4)

    report, _ = replay(broker, ids, most=2)

    assert (ids[1:3], 2) == ([one.id for one in report.replayed], report.left)
    assert 2 == waiting(broker)


def test_a_rate_spreads_them_evenly_from_the_first_on(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, "x", 2, 3)
    clock = Clock()

    report = run(ids, Plan(rate=4.0), broker, CATALOG, lambda event: None, now=clock, clock=clock, sleep=clock.sleep)

    assert [0.0, 0.25, 0.25] == clock.slept
    assert 0.5 == report.seconds


def test_a_dry_run_needs_no_rate(broker: MemoryBroker) -> None:
    clock = Clock()

    run(bury(broker, 1, 2), Plan(dry_run=True, rate=1.0), broker, CATALOG, lambda event: None, sleep=clock.sleep)

    assert [] == clock.slept


@pytest.mark.parametrize(
    ("text", "expected"), [("", None), ("50", 50.0), ("50/s", 50.0), ("30/m", 0.5), ("0.5/s", 0.5), ("1/h", 1 / 3600)]
)
def test_a_rate_is_so_many_a_second(text: str, expected: float | None) -> None:
    assert expected == rate(text)


@pytest.mark.parametrize("text", ["0", "0/s", "-1", "fast", "5/d", "1e3", "nan", "5 s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a rate"):
        rate(text)


def test_where_it_breaks_off_the_error_says_how_far_it_came(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, 2, 3)

    def failing(event: Event) -> None:
        broker.away = "the broker does not answer"

    with pytest.raises(DevctlError, match="does not answer") as caught:
        run(ids, Plan(), broker, CATALOG, failing)

    assert "1 of 3 dead letters were already replayed" in caught.value.details
    assert "no letter is replayed twice" in caught.value.details[-1]


def test_a_ctrl_c_says_how_far_it_came(broker: MemoryBroker) -> None:
    ids = bury(broker, 1, 2, 3)

    def interrupting(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"1 of 3 dead letters were already replayed") as caught:
        run(ids, Plan(), broker, CATALOG, interrupting)

    assert "no letter is replayed twice" in caught.value.hint
