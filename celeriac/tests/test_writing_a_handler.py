"""docs/writing-a-handler.md: its code runs, and each mistake is one."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from celeriac import events
from celeriac.contract.contract import Contract
from celeriac.contract.outcome import EFFECTS, Outcome
from celeriac.errors import CircuitOpen, PermanentError, TransientError
from celeriac.retry import policy as retries
from celeriac.retry.breaker import State
from celeriac.retry.policy import PARTS, Again, Dead, Kind, classify, from_environment, variable

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-handler.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ID = UUID("5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4")


class Declined(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Payments:
    """Refunds once for each key, and answers as it did then. Without a key, every call is a refund."""

    Declined = Declined

    refunds: dict[str, int] = field(default_factory=dict)
    answer: Any = None
    breaks: int = 0  # how many refunds are done, and their answer is lost

    def refund(self, customer_id: str, cents: int, idempotency_key: str | None = None) -> str:
        receipt = f"receipt {idempotency_key or len(self.refunds)}"
        self.refunds[receipt] = cents
        if self.breaks:
            self.breaks -= 1
            raise ConnectionResetError
        return receipt

    def ask(self, cents: int, idempotency_key: str, timeout: float) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def payments() -> Payments:
    return Payments()


@pytest.fixture
def page(payments: Payments, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is defined on the page, in one module."""
    monkeypatch.setattr(retries, "CLASSIFICATION", table := dict(retries.CLASSIFICATION))
    monkeypatch.setattr("celeriac.retry.classification.CLASSIFICATION", table)
    monkeypatch.setattr("celeriac.CLASSIFICATION", table)
    studio = SimpleNamespace(resize=str)
    names: dict[str, Any] = {"payments": payments, "studio": studio, "__name__": "page"}
    monkeypatch.setattr(events, "_listeners", [])
    for block in BLOCKS:
        exec(compile(block, "writing-a-handler.md", "exec"), names)
    return SimpleNamespace(**names)


def run(handler: Any, page: SimpleNamespace, times: int = 2) -> list[tuple[str, Outcome]]:
    """The same message, as often as it comes; receipt and outcome of the runs that had one."""
    ended = []
    for _ in range(times):
        order = page.Refund(task_id=ID, source_service="test", customer_id="c-1", cents=700)
        outcome = Outcome(order.task_id)
        try:
            ended.append((handler(order, outcome).receipt, outcome))
        except ConnectionError:
            continue
    return ended


def test_the_first_handler_asks_for_everything_and_does_the_same_again(
    page: SimpleNamespace, payments: Payments
) -> None:
    (receipt, first), (_, second) = run(page.handle_refund, page)
    assert f"receipt {ID}" == receipt
    assert [("HINCRBY", "refunds", "c-1", 700)] == first.effects == second.effects
    assert [one.payload.task_id for one in first.children] == [one.payload.task_id for one in second.children]
    assert [(page.notify, "700 cents are on their way back to you.")] == [
        (one.contract, one.payload.text) for one in first.children
    ]
    assert {receipt: 700} == payments.refunds


def test_its_last_word_about_progress_is_that_all_is_done(page: SimpleNamespace) -> None:
    album, outcome = page.Album(source_service="test", pictures=("a.png", "b.png")), Outcome(ID)
    assert 2 == page.resize_all(album, outcome).pictures
    assert (1.0, "resized 2 of 2") == outcome.said


def test_every_effect_there_is_is_named() -> None:
    line = PAGE.split("**`outcome.effect", 1)[1].split(". A key", 1)[0]
    assert set(EFFECTS) == set(re.findall(r"`([A-Z]+)`", line))


def test_its_errors_are_of_the_kinds_that_it_says(page: SimpleNamespace) -> None:
    policy = page.refund.retries
    with pytest.raises(TransientError) as busy:
        page.paid_back({"status": "busy", "seconds": 40})
    decision = policy.decide(busy.value, 0, lambda low, high: low)
    with pytest.raises(PermanentError) as declined:
        page.paid_back({"status": "declined"})
    assert (Again(40), Dead("permanent")) == (decision, policy.decide(declined.value, 0))
    assert "r-1" == page.paid_back({"status": "ok", "receipt": "r-1"})


def test_the_table_has_what_the_page_adds(page: SimpleNamespace) -> None:
    assert [Kind.TRANSIENT, Kind.PERMANENT] == [classify(Declined("try_later")), classify(Declined("no"))]
    named: Any = type("OperationalError", (Exception,), {"__module__": "sqlalchemy.exc"})
    assert Kind.TRANSIENT is classify(named())


def test_the_variable_on_the_page_is_one(page: SimpleNamespace) -> None:
    name, text = re.findall(r"`(RETRY_\w+)=(\S+)`", PAGE)[0]
    assert variable(page.refund.name) == name
    assert text == str(from_environment([page.refund], {name: text})[page.refund.name])
    assert set(PARTS) == set(re.findall(r"(\w+)=", text))


def test_behind_the_breaker_a_message_waits_and_keeps_its_retries(page: SimpleNamespace, payments: Payments) -> None:
    payments.answer = {"status": "ok", "receipt": "r-1"}
    assert ["r-1"] == [receipt for receipt, _ in run(page.refund_behind_a_breaker, page, 1)]
    payments.answer = {"status": "declined"}
    for _ in range(30):
        with pytest.raises(PermanentError):
            run(page.refund_behind_a_breaker, page)
    payments.answer = {"status": "busy", "seconds": 1}
    for _ in range(5):
        with pytest.raises(TransientError, match="busy"):
            run(page.refund_behind_a_breaker, page)
    assert State.OPEN is page.calling_payments.state
    with pytest.raises(CircuitOpen) as caught:
        run(page.refund_behind_a_breaker, page)
    decision = page.refund.retries.decide(caught.value, 3)
    assert isinstance(decision, Again)
    assert not decision.counts


def test_mistake_1_an_effect_outside_without_the_id(page: SimpleNamespace, payments: Payments) -> None:
    payments.breaks = 1
    run(page.pays_once, page)
    assert 1 == len(payments.refunds)
    run(page.pays_twice, page)
    assert 1 + 2 == len(payments.refunds)


def test_mistake_2_publishing_past_the_outcome(
    page: SimpleNamespace, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(Contract, "delay", lambda contract, payload: sent.append(payload.task_id))
    payments.breaks = 1
    run(page.tells_too_soon, page)
    assert 2 == len(set(sent))  # two messages, and one of a run that failed
    payments.breaks = 1
    outcomes = run(page.tells_when_it_is_done, page, 3)
    assert 2 == len(outcomes)
    assert 1 == len({child.payload.task_id for _, outcome in outcomes for child in outcome.children})


def test_mistake_3_returning_before_it_is_done(page: SimpleNamespace, payments: Payments) -> None:
    payments.breaks = 1
    assert ["later"] == [receipt for receipt, _ in run(page.says_done, page, 1)]
    payments.breaks = 1
    assert [f"receipt {ID}"] == [receipt for receipt, _ in run(page.is_done, page)]


def test_each_mistake_has_a_wrong_and_a_right_way_of_few_lines() -> None:
    mistakes = PAGE.split("## The three mistakes that break it")[1].split("\n## ")[0].split("\n### ")[1:]
    assert 3 == len(mistakes)
    for mistake in mistakes:
        assert ["Wrong", "Right"] == re.findall(r"^(Wrong|Right):$", mistake, re.MULTILINE)
        blocks = re.findall(r"^```python\n(.*?)^```$", mistake, re.MULTILINE | re.DOTALL)
        assert all(len(block.splitlines()) <= 7 for block in blocks)


def test_the_pages_own_test_passes(page: SimpleNamespace, payments: Payments) -> None:
    page.test_a_refund_gives_a_receipt()
    assert [500] == list(payments.refunds.values())


def test_the_listener_on_the_page_hears_what_is_told(page: SimpleNamespace) -> None:
    events.transition("task.succeeded", logged=False, task="tasks.refund", task_id="1", correlation_id="c")
    events.ignore(page.count_ends)
    events.transition("task.succeeded", logged=False, task="tasks.refund", task_id="2", correlation_id="c")
    assert {("task.succeeded", "tasks.refund"): 1} == page.ends
