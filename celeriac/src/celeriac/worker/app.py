"""The app of those who own tasks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.installation import storing_settings
from celeriac.app.settings import CelerySettings, Routed
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
    own(made, owns, retries)
    return made


def own(
    app: Celery, owns: Sequence[Implementation[Any, Any]], retries: Mapping[str, RetryPolicy] | None = None
) -> None:
    """Make them tasks of this worker, and their queues some that it takes from."""
    for implementation in owns:
        implementation.register(app, (retries or {}).get(implementation.contract.name))
    queues = (*getattr(app, "owned_queues", ()), *(one.contract.queue for one in owns))
    app.owned_queues = tuple(dict.fromkeys(queues))  # type: ignore[attr-defined]  # an attribute of ours on the app
