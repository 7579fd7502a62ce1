from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from devctl.contracts.assign import assign
from devctl.contracts.catalog import TaskContract
from devctl.contracts.payload import checked
from devctl.errors import UsageError
from shop.tasks import CONTRACTS

ORDER, NOTIFICATION, HEALTH = (TaskContract.of(one) for one in CONTRACTS)


def order() -> dict[str, Any]:
    item = {"product_id": "book", "quantity": 1}
    return {"source_service": "t", "customer_id": "c", "items": [item], "total_amount": "9.50"}


@pytest.mark.parametrize(
    ("assignment", "place", "expected"),
    [
        ("items.0.quantity=3", ("items", 0, "quantity"), 3),
        ("priority=HIGH", ("priority",), "HIGH"),
        ("customer_id=12", ("customer_id",), "12"),
        ('customer_id="12"', ("customer_id",), "12"),
        ("customer_id=a=b", ("customer_id",), "a=b"),
        ("customer_id=", ("customer_id",), ""),
        ("total_amount=25.00", ("total_amount",), "25.00"),
        ("customer_id=null", ("customer_id",), None),
        ('items=[{"product_id": "pen", "quantity": 2}]', ("items", 0, "product_id"), "pen"),
        ("items.0.quantity=many", ("items", 0, "quantity"), "many"),
        ("items.0.quantity=NaN", ("items", 0, "quantity"), "NaN"),
        ("order_id=0190b3c2-7d61-4c3e-9a55-2b7e1d0f4a11", ("order_id",), "0190b3c2-7d61-4c3e-9a55-2b7e1d0f4a11"),
    ],
)
def test_a_value_is_json_where_it_is_json_else_text(assignment: str, place: tuple[Any, ...], expected: Any) -> None:
    found = assign(ORDER, order(), assignment)
    for step in place:
        found = found[step]
    assert expected == found


def test_one_past_the_end_appends_a_whole_item() -> None:
    changed = assign(ORDER, order(), "items.1.quantity=4")
    assert [1, 4] == [item["quantity"] for item in changed["items"]]
    checked(ORDER, changed)


def test_what_is_missing_on_the_way_is_made() -> None:
    changed = assign(NOTIFICATION, {"recipient": "r"}, "metadata.campaign=2026")
    assert {"recipient": "r", "metadata": {"campaign": "2026"}} == changed


@pytest.mark.parametrize(
    ("assignment", "problem", "hint"),
    [
        ("itms.0.quantity=3", "--set itms.0.quantity: there is no such field: did you mean items?", "the payload has"),
        ("items.0.quantty=3", "did you mean items.0.quantity?", "items.0 has product_id, quantity"),
        ("items.9.quantity=3", "there is no such field", "items is a list: 0 to 0, or 1 for one more"),
        ("items.x=3", "there is no such field", "items is a list"),
        ("items.-1=3", "there is no such field", "items is a list"),
        ("customer_id.x=3", "there is no such field", "customer_id is not an object"),
        ("priority", "is not PATH=VALUE", "--set items.0.quantity=3"),
        ("=3", "is not PATH=VALUE", ""),
        ("items..quantity=3", "is not PATH=VALUE", ""),
    ],
)
def test_an_unknown_place_is_named_with_what_exists(assignment: str, problem: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        assign(ORDER, order(), assignment)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_a_task_without_payload_has_no_places() -> None:
    with pytest.raises(UsageError, match="takes nothing"):
        assign(HEALTH, None, "a=1")


def test_open_objects_take_any_name() -> None:
    class Open(BaseModel):
        fields: dict[str, dict[str, int]] = {}

    changed = assign(TaskContract("t", "q", Open), {}, "fields.a.b=1")
    assert {"fields": {"a": {"b": 1}}} == changed


def test_what_is_no_object_is_left_to_the_check() -> None:
    with pytest.raises(UsageError, match="there is no such field"):
        assign(ORDER, "text", "customer_id=1")
