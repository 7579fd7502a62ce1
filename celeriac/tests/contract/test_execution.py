from typing import Any
from uuid import UUID, uuid4

import pydantic
import pytest
import redis.exceptions
from kombu.exceptions import OperationalError

from celeriac.contract.contract import Contract
from celeriac.contract.execution import LONGEST_TEXT, checked, perform, portable
from celeriac.contract.implementation import Implementation, implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import PermanentError, TransientError, ValidationError
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.policy import RetryPolicy
from shop.schemas import OrderPayload, OrderResult
from shop.tasks import process_order

ID = UUID("5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4")
RAW: dict[str, Any] = {
    "source_service": "stock",
    "customer_id": "c",
    "items": [{"product_id": "p", "quantity": 1}],
    "total_amount": "5",
}


class Empty(TaskPayload):
    pass


class Id(TaskResult):
    id: UUID


identify = Contract("test.identify", "test", Empty, Id)


@implements(identify)
def handle(payload: Empty, outcome: Outcome) -> Id:
    assert payload.task_id == outcome.task_id
    return Id(id=payload.task_id)


def test_a_payload_without_an_id_has_the_id_of_its_message() -> None:
    assert ({"id": str(ID)}, []) == tuple_of(execute(handle, {"source_service": "stock"}, str(ID)))


def test_the_id_in_the_payload_wins_over_the_id_of_the_message() -> None:
    other = str(uuid4())
    assert ({"id": other}, []) == tuple_of(execute(handle, {"source_service": "stock", "task_id": other}, str(ID)))


def execute(made: Implementation[Any, Any], raw: Any, task_id: str) -> tuple[Any, Outcome]:
    """A run, from the message's argument to the stored result."""
    contract = made.contract
    result, outcome = perform(contract, made, checked(contract, raw, task_id), task_id)
    return contract.result_data(result), outcome


def tuple_of(ended: tuple[Any, Outcome]) -> tuple[Any, list[Any]]:
    return ended[0], ended[1].children


def test_an_order_of_a_stock_client_is_named_by_its_message() -> None:
    @implements(process_order)
    def seen(order: OrderPayload) -> OrderResult:
        raise PermanentError(f"{order.order_id} {order.task_id}")

    with pytest.raises(PermanentError, match=f"{ID} {ID}"):
        execute(seen, RAW, str(ID))


@pytest.mark.parametrize("raw", [None, 7, "text", [], {}, [RAW], RAW | {"total_amount": 1.5}, RAW | {"more": 1}])
def test_a_wrong_payload_is_a_validation_error_without_its_values(raw: Any) -> None:
    @implements(process_order)
    def never(order: OrderPayload) -> OrderResult:
        raise AssertionError

    with pytest.raises(ValidationError, match=r"tasks.process_order was sent a wrong payload: \d+ field"):
        execute(never, raw, str(ID))


def test_a_wrong_result_is_a_validation_error() -> None:
    wrong: Any = implements(identify)(lambda payload: {"id": 7})
    with pytest.raises(ValidationError, match="returned a wrong result"):
        execute(wrong, {"source_service": "stock"}, str(ID))


class Awkward(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class OfAUser(PermanentError):
    pass


def pydantic_error() -> Exception:
    try:
        Empty.model_validate({"source_service": "NO"})
    except pydantic.ValidationError as exc:
        return exc
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (PermanentError("no"), PermanentError, "no"),
        (TransientError("later"), TransientError, "later"),
        (OfAUser("mine"), OfAUser, "mine"),
        (TypeError("a str"), TypeError, "a str"),
        (KeyError("k"), PermanentError, "KeyError: 'k'"),
        (Awkward(code=7), PermanentError, "Awkward: code 7"),
        (Exception(), PermanentError, "Exception"),
        (SystemExit(3), PermanentError, "SystemExit: 3"),
        (MemoryError(), PermanentError, "MemoryError"),
        (ConnectionRefusedError(111, "refused"), TransientError, "ConnectionRefusedError: [Errno 111] refused"),
        (PermanentError("redis://:pw@h/0"), PermanentError, "redis://***@h/0"),
        (ValueError("amqp://u:pw@h"), PermanentError, "ValueError: amqp://***@h"),
    ],
)
def test_an_error_reaches_the_caller_with_its_text(error: BaseException, kind: type, text: str) -> None:
    ended = portable(error)
    assert (kind, (text,)) == (type(ended), ended.args)


def test_a_pydantic_error_names_its_field() -> None:
    ended = portable(pydantic_error())
    assert isinstance(ended, ValidationError)
    assert "source_service: " in str(ended)


def test_a_long_text_is_cut() -> None:
    assert LONGEST_TEXT + len("ValueError: ") == len(str(portable(ValueError("x" * 20_000))))


@pytest.mark.parametrize(
    "error",
    [
        TransientError("x"),
        ConnectionResetError("x"),
        TimeoutError("x"),
        redis.exceptions.ConnectionError("x"),
        redis.exceptions.BusyLoadingError("x"),
        redis.exceptions.TimeoutError("x"),
        OperationalError("x"),
    ],
)
def test_what_may_heal_is_retried_up_to_the_limit(error: Exception) -> None:
    policy = RetryPolicy(limit=2, cap_seconds=1)
    assert [True, True, False] == [policy.allows(error, retries) for retries in range(3)]


@pytest.mark.parametrize(
    "error", [ValidationError("x"), PermanentError("x"), TypeError("x"), KeyError("x"), OSError("x")]
)
def test_what_cannot_heal_fails_at_once(error: Exception) -> None:
    assert not RetryPolicy(limit=2, cap_seconds=1).allows(error, 0)


def test_the_wait_grows_twofold_up_to_the_cap_and_is_anything_below() -> None:
    policy = RetryPolicy(limit=9, cap_seconds=30)
    assert [1, 2, 4, 8, 16, 30, 30] == [policy.delay_seconds(n, lambda low, high: high) for n in range(7)]
    assert [0] * 7 == [policy.delay_seconds(n, lambda low, high: low) for n in range(7)]
