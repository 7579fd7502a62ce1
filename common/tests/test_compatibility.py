from pathlib import Path

from pydantic import TypeAdapter

from celeriac.contract.compatibility import check
from common_tasks.schemas import OrderPayload
from common_tasks.tasks import CONTRACTS

SNAPSHOTS = Path(__file__).parents[1] / "schemas"


def test_no_contract_breaks_messages_that_are_already_in_a_queue() -> None:
    breaking, unwritten = check(SNAPSHOTS, CONTRACTS)
    assert [] == breaking, "\n".join(breaking)
    assert [] == unwritten, (
        "changed without harm: "
        "python -m celeriac.contract.compatibility common_tasks.tasks common/schemas --write, and commit"
    )


def test_every_contract_has_its_snapshot() -> None:
    assert {contract.name for contract in CONTRACTS} == {path.stem for path in SNAPSHOTS.glob("*.json")}


def test_an_order_of_yesterday_is_still_read() -> None:
    """The shape as it went out first; whoever changes it breaks what lies in queues."""
    yesterday = {
        "task_id": "5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4",
        "timestamp": "2026-11-23T10:00:00Z",
        "source_service": "service1",
        "order_id": "5b7d1c8e-34a5-4ab5-9f0e-0b0f1ec9e1d4",
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}],
        "total_amount": "12.50",
        "priority": "NORMAL",
    }
    assert yesterday == TypeAdapter(OrderPayload).dump_python(OrderPayload.model_validate(yesterday), mode="json")
