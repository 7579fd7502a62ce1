"""What every payload can do."""

import subprocess
import sys
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pydantic import PrivateAttr

from celeriac import TaskPayload

ID, OTHER = UUID(int=1), UUID(int=2)


class Plain(TaskPayload):
    named_by: ClassVar[str | None] = "job_id"

    job_id: UUID


class Open(TaskPayload, extra="allow"):
    named_by: ClassVar[str | None] = "job_id"

    job_id: UUID
    note: str = ""
    _seen: list[int] = PrivateAttr(default_factory=lambda: [1])


@pytest.mark.parametrize("payload", [
    TaskPayload(source_service="test"),
    Plain(source_service="test", job_id=ID),
    Plain.model_construct(source_service="test", task_id=ID, job_id=ID),
    Open(source_service="test", job_id=ID),
    Open(source_service="test", job_id=ID, note="new", unknown=[1]),
])  # fmt: skip
def test_a_payload_under_another_id_is_what_pydantic_would_copy(payload: TaskPayload) -> None:
    before = payload.task_id
    wanted = payload.model_copy(update={"task_id": OTHER, payload.named_by or "task_id": OTHER})
    found = payload.with_task_id(OTHER)
    assert (wanted, type(wanted)) == (found, type(found))
    assert wanted.__getstate__() == found.__getstate__()
    assert before == payload.task_id


@pytest.mark.parametrize("given", [{"job_id": ID}, {"task_id": ID}, {"task_id": ID, "job_id": ID}])
def test_the_two_names_of_an_id_are_one(given: dict[str, Any]) -> None:
    payload = Open(source_service="test", **given)
    assert (ID, ID) == (payload.task_id, payload.job_id)


@pytest.mark.parametrize("other", [OTHER, str(OTHER)])
def test_two_ids_are_refused_also_under_validation_again(other: Any) -> None:
    with pytest.raises(ValueError, match="job_id and task_id are two names of one id and must be equal"):
        Open(source_service="test", task_id=ID, job_id=other)
    payload = Open(source_service="test", job_id=ID).model_copy(update={"job_id": OTHER})
    with pytest.raises(ValueError, match="two names of one id"):
        Open.model_validate(payload)


def test_payloads_need_pydantic_alone() -> None:
    """`tools/peers` gives ours to other task queues, in environments that have nothing else of what we need."""
    absent = ("celery", "kombu", "redis", "msgspec")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from celeriac import Model, TaskPayload, TaskResult"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
