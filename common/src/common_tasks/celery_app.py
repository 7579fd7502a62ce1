"""Celery apps: `app` for those who publish, `make_worker` for those who own tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from common_tasks import environment
from common_tasks.contract import Implementation
from common_tasks.execution import register
from common_tasks.retries import RetryPolicy
from common_tasks.running import run_worker
from common_tasks.settings import CelerySettings, celery_settings, storing_settings

CONTROL = "common_tasks.control:Control"

__all__ = ["app", "make_app", "make_worker", "run_worker"]


def make_app(
    name: str = "client", settings: CelerySettings | None = None, *, patience_seconds: float | None = None
) -> Celery:
    """An app with the settings of this stack; without `settings`, the environment is read at the first use.

    `patience_seconds` is for callers for whom a user waits: nothing is retried, and no network wait is longer."""
    # Celery would follow CELERY_LOADER, which many environments have for another program.
    made = Celery(name, loader="celery.loaders.app:AppLoader", set_as_current=False, control=CONTROL)
    made.add_defaults(lambda: celery_settings(settings or environment.load(CelerySettings), patience_seconds))
    # Our backends have the usual schemes, so that stock Celery understands the same URLs.
    made.loader.override_backends = {
        **dict.fromkeys(("redis", "rediss"), "common_tasks.results:Results"),
        "sentinel": "common_tasks.results:SentinelResults",
    }
    if settings is not None:
        made.backend_cls = settings.results_url  # else CELERY_RESULT_BACKEND would win over what was given
    return made


def make_worker(
    service: str,
    owns: Sequence[Implementation[Any, Any]],
    settings: CelerySettings | None = None,
    retries: Mapping[str, RetryPolicy] | None = None,
) -> Celery:
    """An app that runs the tasks that `service` owns, and no others. `retries`: task name -> its policy, in place of
    the contract's."""
    made = make_app(service, settings)
    made.add_defaults(storing_settings)
    for implementation in owns:
        register(implementation, made, (retries or {}).get(implementation.contract.name))
    if made.conf.broker_transport:
        made.Task.Strategy = "common_tasks.transport.strategy:strategy"
    made.owned_queues = tuple(dict.fromkeys(one.contract.queue for one in owns))  # type: ignore[attr-defined]
    return made


app = make_app()
