import random
from dataclasses import replace

import pytest

from celeriac import typos
from celeriac.app.settings import CelerySettings
from celeriac.contract.implementation import implements
from celeriac.errors import (
    CircuitOpen,
    PermanentError,
    SettingsError,
    TransientError,
    ValidationError,
    WrongPayload,
)
from celeriac.retry.policy import (
    LONGEST_RETRY_AFTER_SECONDS,
    NO_RETRIES,
    Again,
    Dead,
    RetryPolicy,
    from_environment,
    variable,
)
from celeriac.worker.app import make_worker
from shop.schemas import OrderPayload, OrderResult
from shop.tasks import CONTRACTS, process_order, send_notification

POLICY = RetryPolicy(limit=3, cap_seconds=30)


def most(low: float, high: float) -> float:
    return high


def least(low: float, high: float) -> float:
    return low


def test_a_transient_error_comes_back_until_its_retries_are_used_up() -> None:
    decisions = [POLICY.decide(TransientError("x"), retries, most) for retries in range(4)]
    assert [Again(1), Again(2), Again(4), Dead("retries-exhausted")] == decisions


def test_an_unknown_error_comes_back_once() -> None:
    decisions = [POLICY.decide(KeyError("x"), retries, most) for retries in range(2)]
    assert [Again(1), Dead("retries-exhausted")] == decisions


@pytest.mark.parametrize("error", [ValidationError("a wrong result"), PermanentError("x"), TypeError("x")])
def test_a_permanent_error_is_a_dead_letter_at_once(error: Exception) -> None:
    assert Dead("permanent") == POLICY.decide(error, 0)


def test_a_payload_that_the_contract_does_not_allow_has_its_own_reason() -> None:
    assert Dead("wrong-payload") == POLICY.decide(WrongPayload("x"), 0)


@pytest.mark.parametrize("error", [TransientError("x"), KeyError("x")])
def test_without_retries_nothing_comes_back(error: Exception) -> None:
    assert Dead("retries-exhausted") == NO_RETRIES.decide(error, 0)


@pytest.mark.parametrize("retries", [0, 3, 50])
def test_an_open_breaker_uses_up_no_retry(retries: int) -> None:
    decision = POLICY.decide(CircuitOpen("x", retry_after_seconds=7), retries, least)
    assert Again(7, counts=False) == decision


def test_behind_an_open_breaker_a_task_without_retries_waits_too() -> None:
    assert Again(7, counts=False) == NO_RETRIES.decide(CircuitOpen("x", retry_after_seconds=7), 0)


def test_a_crowd_behind_a_breaker_does_not_come_back_in_one_moment() -> None:
    uniform = random.Random(7).uniform
    waits = {POLICY.decide(CircuitOpen("x", retry_after_seconds=7), 0, uniform) for _ in range(100)}
    assert 100 == len(waits)
    assert all(isinstance(one, Again) and 7 <= one.delay_seconds <= 8 for one in waits)


def test_nobody_is_back_before_the_time_that_was_asked_for() -> None:
    error = TransientError("busy", retry_after_seconds=20)
    assert [Again(20), Again(22)] == [POLICY.decide(error, 1, uniform) for uniform in (least, most)]


def test_a_date_is_a_time_too() -> None:
    class Busy(Exception):
        status_code = 503
        headers = {"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}  # noqa: RUF012  as libraries have it

    assert Again(20) == POLICY.decide(Busy(), 0, least, now=lambda: 40.0)


def test_the_time_that_is_asked_for_has_a_bound() -> None:
    error = TransientError("next year", retry_after_seconds=31_536_000)
    assert Again(LONGEST_RETRY_AFTER_SECONDS) == POLICY.decide(error, 0, least)


def test_any_number_of_retries_has_a_wait() -> None:
    assert 30 == POLICY.delay_seconds(100_000, most)


def test_the_waits_are_spread_over_the_whole_range() -> None:
    uniform = random.Random(7).uniform
    waits = sorted(POLICY.delay_seconds(10, uniform) for _ in range(1_000))
    assert waits[0] < 1
    assert waits[-1] > 29
    assert 14 < sum(waits) / 1_000 < 16


NAME = "RETRY_TASKS_PROCESS_ORDER"


def test_a_variable_is_named_after_its_task() -> None:
    assert NAME == variable("tasks.process_order")


def test_without_variables_the_contracts_say_it() -> None:
    policies = from_environment(CONTRACTS, {"HOME": "/", "RETRIES": "7"})
    assert {one.name: one.retries for one in CONTRACTS} == policies


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("limit=5,cap=60,base=2", RetryPolicy(5, 60, 2)),
        ("limit=0", RetryPolicy(0, 30, 1)),
        ("cap=0.5", RetryPolicy(3, 0.5, 1)),
        (" base=0.25 , limit=1 ", RetryPolicy(1, 30, 0.25)),
        ("", RetryPolicy(3, 30, 1)),
        (" ", RetryPolicy(3, 30, 1)),
    ],
)
def test_a_variable_changes_what_it_names(text: str, policy: RetryPolicy) -> None:
    policies = from_environment(CONTRACTS, {NAME: text})
    assert (policy, send_notification.retries) == (policies[process_order.name], policies[send_notification.name])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hunter2", "it is written like limit=5,cap=60,base=2, each of the three once or not at all"),
        ("limit:5", "it is written like"),
        ("limit=5;cap=60", "it is written like"),
        ("limit=5,", "it is written like"),
        ("limit=5,limit=6", "it is written like"),
        ("hunter2=5", "it is written like"),
        ("LIMIT=5", "it is written like"),
        ("limit==5", "it is written like"),
        ("limit=hunter2", "limit must be a whole number from 0 to 100"),
        ("limit=", "limit must be"),
        ("limit=1.5", "limit must be"),
        ("limit=-1", "limit must be"),
        ("limit=101", "limit must be"),
        ("limit=" + "9" * 5_000, "limit must be"),
        ("cap=nan", "cap must be a number of seconds from 0 to 3600"),
        ("cap=inf", "cap must be"),
        ("cap=3601", "cap must be"),
        ("cap=-1", "cap must be"),
        ("base=0", "base must be a number of seconds from 0.001 to 3600"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variable_and_without_the_value(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(CONTRACTS, {NAME: text})
    said = str(caught.value)
    assert said.startswith(f"{NAME} is wrong: {told}")
    assert said.endswith(" (its value is not shown)")
    assert "hunter2" not in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["RETRY_TASKS_PROCESS_ORDERS", "RETRY_PROCESS_ORDER", "RETRY_TASKS.PROCESS_ORDER"])
def test_a_likely_typing_error_is_one_warning_that_offers_the_right_name(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(typos, "_warned", set())
    from_environment(CONTRACTS, {name: "hunter2"})
    assert [f"{name} is no setting and is not used; did you mean {NAME}?"] == caplog.messages


def test_upper_and_lower_case_are_the_same_as_for_every_setting() -> None:
    assert 7 == from_environment(CONTRACTS, {NAME.lower(): "limit=7"})["tasks.process_order"].limit


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(CONTRACTS, {NAME: "x", "RETRY_TASKS_SEND_NOTIFICATION": "cap=x"})
    names = [one.split()[0] for one in str(caught.value).split("; ") if one.startswith("RETRY_")]
    assert [NAME, "RETRY_TASKS_SEND_NOTIFICATION"] == names


def test_a_policy_is_written_as_it_is_read() -> None:
    contract = replace(process_order, retries=RetryPolicy(7, 0.25, 0.125))
    assert "limit=7,cap=0.25,base=0.125" == str(contract.retries)
    assert contract.retries == from_environment([process_order], {NAME: str(contract.retries)})[contract.name]


def test_a_worker_takes_the_policy_that_it_is_given() -> None:
    @implements(process_order)
    def handle(order: OrderPayload) -> OrderResult:
        raise AssertionError

    given = RetryPolicy(9, 9)
    for retries, expected in (({process_order.name: given}, given), ({}, process_order.retries)):
        app = make_worker("test", [handle], CelerySettings(), retries)
        assert expected == app.tasks[process_order.name].work.__self__.retries
