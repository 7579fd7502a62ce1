from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from celeriac.dead_letter.letters import Letter, Reason
from celeriac.message.frame import frame
from devctl.contracts.catalog import Catalog
from devctl.dead_letters.check import arguments, flaws

NOW = 1_795_000_000.0
CATALOG = Catalog.load("shop")
ORDER: dict[str, Any] = {
    "source_service": "test",
    "customer_id": "c-1",
    "items": [{"product_id": "book", "quantity": 2}],
    "total_amount": "39.90",
}


def letter(raw: bytes, reason: str = "permanent") -> Letter:
    return Letter("orders/1-0", "orders", reason, NOW, len(raw), raw=raw)


def order(*args: Any, task: str = "tasks.process_order", **parts: Any) -> Letter:
    return letter(frame(task, "orders", args, **({"task_id": str(uuid.uuid4())} | parts)))


def problems(letter: Letter) -> list[str]:
    return [str(one) for one in flaws(letter, CATALOG, NOW)]


@pytest.mark.parametrize(
    "valid",
    [
        order(ORDER),
        order(kwargs={"payload": ORDER}),
        order({**ORDER, "task_id": (one := str(uuid.uuid4())), "order_id": one}),
        order(task="tasks.health_check"),
        order(None, task="tasks.health_check"),
        order(ORDER, expires="2100-01-01T00:00:00+00:00"),
        order(ORDER, retries=3, eta="2000-01-01T00:00:00+00:00"),
    ],
    ids=["one argument", "by name", "with its id", "no argument", "null", "not expired yet", "tried before"],
)
def test_what_todays_contract_takes_has_no_flaw(valid: Letter) -> None:
    assert [] == problems(valid)


def test_wrong_fields_are_named_without_their_values() -> None:
    wrong = {**ORDER, "items": [{"product_id": "book", "quantity": 0}], "extra": "s3cret", "total_amount": "s3cret"}
    del wrong["customer_id"]

    found = problems(order(wrong))

    assert {
        "customer_id is missing",
        "items.0.quantity must be at least 1",
        'total_amount must be a number as text, such as "12.50"',
    } <= set(found)
    assert 4 == len(found)
    assert "s3cret" not in " ".join(found)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (order(ORDER, task="tasks.old"), "no contract has the task tasks.old"),
        (order(ORDER, task="process_order"), "no contract has the task process_order"),
        (order(), "payload is missing"),
        (order(ORDER, 1), "tasks.process_order takes one argument, the payload"),
        (order(ORDER, kwargs={"n": 1}), "tasks.process_order takes one argument, the payload"),
        (order(ORDER, kwargs={"payload": ORDER}), "tasks.process_order takes one argument, the payload"),
        (order(1, task="tasks.health_check"), "tasks.health_check takes no argument"),
        (order("text"), "payload must be an object"),
        (letter(b"\xff"), "cannot be decoded: the message is not JSON"),
        (
            letter(order(ORDER).raw or b"", Reason.UNDECODABLE),
            "cannot be decoded: it can only be exported (show --raw)",
        ),
        (
            order(ORDER, expires="2020-01-01T00:00:00+00:00"),
            "it has expired: its publisher wanted it done by 2020-01-01T00:00:00+00:00",
        ),
        (
            order(ORDER, expires="2020-01-01T00:00:00"),
            "it has expired: its publisher wanted it done by 2020-01-01T00:00:00+00:00",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_other_flaw_is_one_sentence(wrong: Letter, expected: str) -> None:
    assert [expected] == problems(wrong)


def test_an_expiry_that_nobody_can_read_is_none() -> None:
    raw = json.loads(order(ORDER).raw or b"")
    raw["headers"]["expires"] = ["?"]

    assert [] == problems(letter(json.dumps(raw).encode()))


def test_what_a_message_asks_for_is_its_payload_or_all_arguments() -> None:
    assert {"a": 1} == arguments(order({"a": 1}))
    assert {"args": [1, 2], "kwargs": {"n": 3}} == arguments(order(1, 2, kwargs={"n": 3}))
    assert arguments(letter(b"?")) is None
