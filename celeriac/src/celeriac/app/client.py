"""The app of those who publish."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from celery import Celery

from celeriac import environment
from celeriac.app.installation import first_installed, make_ours
from celeriac.app.settings import CelerySettings, celery_settings

if TYPE_CHECKING:
    from celeriac.app.settings import Routed


def make_app(
    name: str = "client",
    settings: CelerySettings | None = None,
    *,
    contracts: "Iterable[Routed]" = (),
    patience_seconds: float | None = None,
) -> Celery:
    """An app with our settings; without `settings`, the environment is read at the first use.

    `contracts`: their queues are also used for callers that know only the name of a task. `patience_seconds` is for
    callers for whom a user waits: nothing is retried, and no network wait is longer."""
    # Celery would follow CELERY_LOADER, which many environments have for another program.
    made = Celery(name, loader="celery.loaders.app:AppLoader", set_as_current=False)
    make_ours(made)
    routes = {one.name: {"queue": one.queue} for one in contracts}
    made.add_defaults(lambda: celery_settings(settings or environment.load(CelerySettings), routes, patience_seconds))
    if settings is not None:
        made.backend_cls = settings.results_url  # else CELERY_RESULT_BACKEND would win over what was given
    return made


_chosen: list[Celery] = []


def default_app() -> Celery:
    """It publishes the contracts that are bound to no app: that of `set_default_app`; without one, the first app that
    `install` got in this process; without one, the app of the environment."""
    return _chosen[-1] if _chosen else first_installed() or _of_environment()


@cache
def _of_environment() -> Celery:
    return make_app()


def set_default_app(app: Celery | None) -> None:
    """From here on, contracts that are bound to no app are published by this one; None: as before."""
    _chosen[:] = [] if app is None else [app]
