"""What a handler wants to happen besides its result: messages that are sent if, and only if, it succeeds."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4, uuid5

from common_tasks.schemas import TaskPayload

if TYPE_CHECKING:
    from common_tasks.contract import Contract

P = TypeVar("P", bound=TaskPayload)


@dataclass(frozen=True)
class Child:
    """A message to be sent."""

    contract: "Contract[Any, Any]"
    payload: TaskPayload


@dataclass(frozen=True)
class Outcome:
    """Collects; the worker sends after the body has returned and before it acknowledges."""

    task_id: UUID = field(default_factory=uuid4)
    children: list[Child] = field(default_factory=list)

    def publish(self, contract: "Contract[P, Any]", payload: P) -> UUID:
        """The id of the child. A retry of this task gives its nth child the same id, so that it is the same work."""
        task_id = uuid5(self.task_id, f"{contract.name}:{len(self.children)}")
        self.children.append(Child(contract, contract.check(payload.with_task_id(task_id))))
        return task_id
