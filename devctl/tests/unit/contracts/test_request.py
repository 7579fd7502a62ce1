from __future__ import annotations

from typing import Any

import pytest

from devctl.contracts.catalog import Catalog
from devctl.contracts.document import Document
from devctl.contracts.request import Request, messages
from devctl.errors import UsageError

CATALOG = Catalog.load("shop")
GOOD = {
    "source_service": "t",
    "customer_id": "c",
    "items": [{"product_id": "p", "quantity": 1}],
    "total_amount": "1.00",
}


def refused(**request: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        messages(CATALOG, Request(**request))
    return caught.value


def test_nothing_said_is_a_sample_of_the_first_contract() -> None:
    (made,) = messages(CATALOG, Request())
    assert ("tasks.process_order", "orders", "devctl") == (made.task, made.queue, made.args[0]["source_service"])


def test_many_samples_have_ids_of_their_own() -> None:
    made = messages(CATALOG, Request("process_order", count=100, seed=1))
    assert 100 == len({one.task_id for one in made})


def test_documents_are_sent_as_they_are_with_assignments_on_top() -> None:
    documents = [Document(dict(GOOD), "line 1"), Document(dict(GOOD), "line 2")]
    made = messages(CATALOG, Request("process_order", documents, ["customer_id=d"]))
    assert ["d", "d"] == [one.args[0]["customer_id"] for one in made]


def test_of_a_thousand_lines_with_one_bad_none_is_sent_and_the_line_is_named() -> None:
    documents = [Document(dict(GOOD), f"line {n}") for n in range(1, 1_001)]
    documents[416] = Document(GOOD | {"items": []}, "line 417")
    error = refused(name="process_order", documents=documents)
    assert "not published: 1 field is wrong, in 1 of 1,000 payloads" == error.problem
    assert ("line 417: items  []  must have at least 1 entry",) == error.details
    assert "devctl tasks process_order" in error.hint


def test_many_problems_are_cut() -> None:
    error = refused(name="process_order", documents=[Document({}, f"line {n}") for n in range(1, 31)])
    assert "not published: 120 fields are wrong, in 30 of 30 payloads" == error.problem
    assert (11, "and 110 more") == (len(error.details), error.details[-1])


def test_one_id_twice_is_refused() -> None:
    task_id = "0190b3c2-7d61-4c3e-9a55-2b7e1d0f4a11"
    error = refused(name="process_order", count=3, assignments=[f"order_id={task_id}"])
    assert "not published: 3 payloads, but only 1 different task ids" == error.problem
    assert (task_id,) == error.details


def test_a_payload_for_a_task_that_takes_none_is_refused() -> None:
    assert "tasks.health_check takes no payload" == refused(name="health_check", documents=[Document({})]).problem


def test_without_a_contract_arguments_go_as_they_are() -> None:
    (made,) = messages(CATALOG, Request("tasks.other", args="[1, {}]", kwargs='{"n": 2}', queue="other"))
    assert ("tasks.other", "other", (1, {}), {"n": 2}) == (made.task, made.queue, made.args, made.kwargs)


def test_arguments_for_a_known_task_are_not_checked_and_go_to_its_queue() -> None:
    (made,) = messages(CATALOG, Request("process_order", args='[{"wrong": true}]'))
    assert ("tasks.process_order", "orders", ({"wrong": True},)) == (made.task, made.queue, made.args)


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"name": "x", "args": "[]"}, "no task 'x'"),
        ({"args": "[]"}, "--args and --kwargs need the name of a task"),
        ({"name": "x", "args": "{}", "queue": "q"}, "--args is not an array: {}"),
        ({"name": "x", "kwargs": "[]", "queue": "q"}, "--kwargs is not an object: []"),
        ({"name": "x", "args": "[NaN]", "queue": "q"}, "--args is not JSON: NaN is not JSON"),
        ({"name": "x", "args": "[1", "queue": "q"}, "--args is not JSON: "),
        (
            {"name": "x", "args": "[]", "queue": "q", "assignments": ["a=1"]},
            "--args and --kwargs are all that a task gets",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(request_: dict[str, Any], problem: str) -> None:
    assert problem in refused(**request_).problem
