"""What every payload and every result has: what travels between services, as JSON objects."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=64)]


class Model(BaseModel):
    """Frozen. Unknown fields are refused, so that a misspelt one is noticed."""

    # Checked again at every publish: model_construct and model_copy(update=…) skip the checks.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always")


class TaskPayload(Model):
    """One piece of work. `task_id` is its only id: Celery's task id, the idempotency key, the same in every retry."""

    named_by: ClassVar[str | None] = None  # a field that holds the task_id under another name, such as order_id

    task_id: UUID = Field(default_factory=uuid4)
    timestamp: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    source_service: ServiceName

    @model_validator(mode="before")
    @classmethod
    def _one_id(cls, data: Any) -> Any:
        if cls.named_by is None or not isinstance(data, dict):
            return data
        known = data.get("task_id") or data.get(cls.named_by) or uuid4()
        return {"task_id": known, cls.named_by: known, **data}

    @model_validator(mode="after")
    def _same_id(self) -> Self:
        if self.named_by is not None and getattr(self, self.named_by) != self.task_id:
            raise ValueError(f"{self.named_by} and task_id are two names of one id and must be equal")
        return self

    def with_task_id(self, task_id: UUID) -> Self:
        """The same work under another id."""
        renamed = {"task_id": task_id} | ({self.named_by: task_id} if self.named_by else {})
        return self.model_copy(update=renamed)


class TaskResult(Model):
    """A result. A caller may be older than the worker: it ignores fields that it does not know."""

    model_config = ConfigDict(extra="ignore")
