"""The worker's settings, from the environment alone."""

from dataclasses import dataclass

from common_tasks import environment
from common_tasks.settings import CelerySettings, LogSettings, WorkerSettings


@dataclass(frozen=True)
class Config:
    celery: CelerySettings
    worker: WorkerSettings
    log: LogSettings


def load() -> Config:
    """Raises SettingsError, one line, for a variable that is wrong."""
    return Config(
        celery=environment.load(CelerySettings),
        worker=environment.load(WorkerSettings),
        log=environment.load(LogSettings),
    )
