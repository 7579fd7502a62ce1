"""A body and its contract."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from celery import Celery

from celeriac.contract import execution
from celeriac.contract.outcome import Outcome
from celeriac.contract.spec import Spec
from celeriac.retry.policy import RetryPolicy

P = TypeVar("P")
R = TypeVar("R")

Body = Callable[[P], R] | Callable[[P, Outcome], R]


@dataclass(frozen=True)
class Implementation(Generic[P, R]):
    """A body and its contract. In tests it is called as a plain function; `register` makes a Celery task of it."""

    contract: Spec[P, R]
    body: Body[P, R]

    @cached_property
    def takes_outcome(self) -> bool:
        return len(inspect.signature(self.body).parameters) > 1

    def __call__(self, payload: P, outcome: Outcome | None = None) -> R:
        body: Any = self.body
        result: R = body(payload, outcome or Outcome()) if self.takes_outcome else body(payload)
        return result

    def register(self, app: Celery, retries: RetryPolicy | None = None) -> None:
        """Make it a task of this app; `retries` in place of the contract's own."""
        execution.register(self.contract, self, app, retries)


def implements(contract: Spec[P, R]) -> Callable[[Body[P, R]], Implementation[P, R]]:
    """Decorates the body of a contract. It registers nothing: `make_worker` registers what a service owns."""
    return lambda body: Implementation(contract, body)
