"""The app of those who own tasks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, Routed, storing_settings
from celeriac.contract.implementation import Implementation
from celeriac.retry.policy import RetryPolicy


def make_worker(
    service: str,
    owns: Sequence[Implementation[Any, Any]],
    settings: CelerySettings | None = None,
    retries: Mapping[str, RetryPolicy] | None = None,
    contracts: Iterable[Routed] = (),
) -> Celery:
    """An app that runs the tasks that `service` owns, and no others. `retries`: task name -> its policy, in place of
    the contract's. `contracts`: those that it publishes by their names."""
    made = make_app(service, settings, contracts=[*contracts, *(one.contract for one in owns)])
    made.add_defaults(storing_settings)
    for implementation in owns:
        implementation.register(made, (retries or {}).get(implementation.contract.name))
    made.owned_queues = tuple(dict.fromkeys(one.contract.queue for one in owns))  # type: ignore[attr-defined]
    return made
