"""A task that was published; it gives the result when there is one."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celery.states import READY_STATES, SUCCESS
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from celery import Celery
    from celery.result import EagerResult

R = TypeVar("R")

FIRST_LOOK_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Pending(Generic[R]):
    """Reads the result with plain GETs. It holds no subscription, needs no clean-up, and every thread may use it."""

    id: str
    app: "Celery" = field(repr=False)
    adapter: TypeAdapter[R] = field(repr=False)
    done: "EagerResult[Any] | None" = field(default=None, repr=False)
    """The result of a task that ran in place (`task_always_eager`): it is in no backend."""

    @property
    def state(self) -> str:
        """Celery's word for it: PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED."""
        return str(self._meta()["status"])

    def ready(self) -> bool:
        return self.state in READY_STATES

    def get(self, timeout: float | None = None) -> R:
        """The result; raises what the task raised, or TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_LOOK_SECONDS
        while (meta := self._meta())["status"] not in READY_STATES:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"task {self.id} has no result after {timeout} s")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        if meta["status"] == SUCCESS:
            return self.adapter.validate_python(meta["result"])
        raise meta["result"]

    def _meta(self) -> dict[str, Any]:
        if self.done is not None:
            return {"status": self.done.state, "result": self.done.result}
        backend: Any = self.app.backend
        meta: dict[str, Any] = backend.get_task_meta(self.id, cache=False)
        return meta
