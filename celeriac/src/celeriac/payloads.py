"""What every payload and every result has: what travels between services, as JSON objects."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from celeriac.ids import uuid4

_set = object.__setattr__  # a payload is frozen
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
        name = cls.named_by
        if name is None or not isinstance(data, dict) or ("task_id" in data and name in data):
            return data
        known = data.get("task_id") or data.get(name) or uuid4()
        return {"task_id": known, name: known, **data}

    @model_validator(mode="after")
    def _same_id(self) -> Self:
        name, task_id = self.named_by, self.task_id
        # First whether it is the same object, since to compare two UUIDs takes longer.
        if name is not None and (named := getattr(self, name)) is not task_id and named != task_id:
            raise ValueError(f"{name} and task_id are two names of one id and must be equal")
        return self

    def with_task_id(self, task_id: UUID) -> Self:
        """The same work under another id."""
        kind = type(self)
        renamed = {"task_id": task_id, kind.named_by or "task_id": task_id}
        if self.__pydantic_extra__ is not None or self.__pydantic_private__ is not None:
            return self.model_copy(update=renamed)
        copy = kind.__new__(kind)  # the same, in less than half the time
        _set(copy, "__dict__", self.__dict__ | renamed)
        _set(copy, "__pydantic_fields_set__", self.__pydantic_fields_set__.union(renamed))
        _set(copy, "__pydantic_extra__", None)
        _set(copy, "__pydantic_private__", None)
        return copy


class TaskResult(Model):
    """A result. A caller may be older than the worker: it ignores fields that it does not know."""

    model_config = ConfigDict(extra="ignore")
