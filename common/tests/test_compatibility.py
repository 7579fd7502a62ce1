from pathlib import Path

from celeriac.contract.compatibility import check
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
