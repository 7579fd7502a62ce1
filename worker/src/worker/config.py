"""The worker's settings, from the environment alone."""

import os
from dataclasses import dataclass

from celeriac import environment
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.retry import policy as retries
from celeriac.retry.policy import RetryPolicy
from common_tasks.tasks import CONTRACTS


@dataclass(frozen=True)
class Config:
    celery: CelerySettings
    worker: WorkerSettings
    log: LogSettings
    retries: dict[str, RetryPolicy]


def load() -> Config:
    """Raises SettingsError, one line, for a variable that is wrong."""
    return Config(
        celery=environment.load(CelerySettings),
        worker=environment.load(WorkerSettings),
        log=environment.load(LogSettings),
        retries=retries.from_environment(CONTRACTS, os.environ),
    )
